// Defines everything that a script sees beyond the language.
//
// `host(execution, op, json)` answers in JSON: {"ok": …} or {"error": {"code", "message"}}.
// `random` is the source of `Math.random`. This function runs once in each isolate. It returns
// `makeContext`, which runs once for each execution and gets the number of that execution.
export default (host, random) => {
  Math.random = defineProperty(random, "name", { value: "random", configurable: true });
  // The execution number for `console` and `crypto`: the host takes it as the current execution.
  const ANY_EXECUTION = 0;
  const LOG_LENGTH_MAX = (1 << 20) + 1;
  const callHost = (execution, op, request) => {
    const { error, ok } = parse(host(execution, op, stringify(request)));
    if (error) throw fail(new (error.code === "invalid_argument" ? TypeError : Error)(error.message), error.code);
    return ok;
  };
  const toJson = (value, name) => {
    const text = stringify(value);
    if (text === undefined) {
      throw fail(new TypeError(`${name} cannot be written as JSON: it is undefined, a function or a symbol`), "not_json");
    }
    return text;
  };
  const logger = (level) => (...values) => {
    let text = "";
    for (let i = 0; i < values.length; i++) text += i === 0 ? show(values[i]) : ` ${show(values[i])}`;
    try {
      // The host cuts a long line. The rest is not copied there.
      host(ANY_EXECUTION, "log", stringify([level, text.length > LOG_LENGTH_MAX ? text.slice(0, LOG_LENGTH_MAX) : text]));
    } catch {
      // There is no memory for the line.
    }
  };
  globalThis.console = freeze({
    debug: logger("debug"), log: logger("info"), info: logger("info"), warn: logger("warn"), error: logger("error"),
  });
  globalThis.crypto = freeze({ randomUUID: () => callHost(ANY_EXECUTION, "uuid", null) });
  // As a promise, so that an error of the callback is an unhandled rejection, which fails the run.
  globalThis.queueMicrotask = { queueMicrotask(callback) {
    if (typeof callback !== "function") throw new TypeError("queueMicrotask takes a function");
    (async () => { await undefined; callback(); })();
  } }.queueMicrotask;
  const makeRequest = (event) => {
    const { data } = event;
    const text = () => {
      if (data.body === undefined) throw new TypeError("the body is not UTF-8 text; read request.bodyBase64 instead");
      return data.body;
    };
    const json = () => {
      try {
        return parse(text());
      } catch (cause) {
        throw fail(new SyntaxError(`the body of the request is not JSON: ${cause.message}`), "invalid_json");
      }
    };
    return freeze({ ...data, id: event.id, time: event.time, text, json });
  };
  const ENTRY = { collection: TEXT, key: TEXT };
  const VALUE = { ...ENTRY, value: ANY_JSON };
  const PAGE = { collection: TEXT, options: options({ prefix: TEXT, limit: PAGE_LENGTH, after: TEXT_OR_NULL }) };
  const makeKv = (execution) => freeze({
    async get(collection, key) {
      check("ctx.kv.get", arguments, ENTRY, 2);
      return parse(callHost(execution, "get", [collection, key]));
    },
    async peek(collection, key) {
      check("ctx.kv.peek", arguments, ENTRY, 2);
      return parse(callHost(execution, "peek", [collection, key]));
    },
    async set(collection, key, value) {
      check("ctx.kv.set", arguments, VALUE, 3);
      callHost(execution, "set", [collection, key, toJson(value, "the value")]);
    },
    async delete(collection, key) {
      check("ctx.kv.delete", arguments, ENTRY, 2);
      callHost(execution, "delete", [collection, key]);
    },
    async list(collection, options = {}) {
      check("ctx.kv.list", arguments, PAGE, 1);
      const { prefix = "", limit = 100, after = null } = options;
      const entries = callHost(execution, "list", [collection, prefix, limit, after]);
      return entries.map(([key, value]) => ({ key, value: parse(value) }));
    },
  });
  const makeSignal = (execution) => freeze({
    get aborted() { return callHost(execution, "aborted", null); },
    throwIfAborted() {
      check("ctx.signal.throwIfAborted", arguments, {}, 0);
      if (this.aborted) throw fail(new Error("the execution was cancelled, or its timeout has passed"), "aborted");
    },
  });
  const EVENT = { type: TEXT, data: ANY_JSON, options: options({ subject: TEXT }) };
  const WAIT = { ms: DURATION };
  const makeContext = (execution, app, trigger, attempt, maxAttempts, idempotencyKey, fencingToken, executionId) => {
    // Most handlers use little of this, and each closure costs time. So `kv` and `signal` are made
    // at their first use.
    let kv, signal;
    return freeze({
      app, trigger, attempt, maxAttempts, idempotencyKey, fencingToken, executionId,
      get kv() { return kv ??= makeKv(execution); },
      get signal() { return signal ??= makeSignal(execution); },
      async emit(type, data = null, options = {}) {
        check("ctx.emit", arguments, EVENT, 1);
        const { subject = "" } = options;
        callHost(execution, "emit", [type, subject, toJson(data, "the data")]);
      },
      async sleep(ms) {
        check("ctx.sleep", arguments, WAIT, 1);
        callHost(execution, "sleep", ms);
      },
    });
  };
  return { makeContext, makeRequest, refuseHandler, refuseResult, takeBytes };
};
