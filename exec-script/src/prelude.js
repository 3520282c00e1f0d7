// Defines everything that a script sees beyond the language.
//
// `host(execution, op, json)` answers in JSON: {"ok": …} or {"error": {"code", "message"}}.
// `random` is the source of `Math.random`. This function runs once in each isolate. It returns
// `makeContext`, which runs once for each execution and gets the number of that execution.
export default (host, random) => {
  const { parse, stringify } = JSON;
  const { assign, freeze } = Object;
  Math.random = Object.defineProperty(random, "name", { value: "random", configurable: true });
  // The execution number for `console` and `crypto`: the host takes it as the current execution.
  const ANY_EXECUTION = 0;
  const callHost = (execution, op, request) => {
    const answer = parse(host(execution, op, stringify(request)));
    if (answer.error) {
      throw assign(new Error(answer.error.message), { code: answer.error.code });
    }
    return answer.ok;
  };
  const toJson = (value, name) => {
    const text = stringify(value);
    if (text === undefined) {
      const message = `${name} cannot be written as JSON: it is undefined, a function or a symbol`;
      throw assign(new TypeError(message), { code: "not_json" });
    }
    return text;
  };
  const format = (value) => {
    if (typeof value === "string") return value;
    if (value instanceof Error) return value.stack ? `${value}\n${value.stack}` : String(value);
    try {
      return stringify(value) ?? String(value);
    } catch {
      return String(value);
    }
  };
  const logger = (level) => (...values) =>
    void host(ANY_EXECUTION, "log", stringify([level, values.map(format).join(" ")]));
  globalThis.console = freeze({
    debug: logger("debug"), log: logger("info"), info: logger("info"), warn: logger("warn"), error: logger("error"),
  });
  globalThis.crypto = freeze({ randomUUID: () => callHost(ANY_EXECUTION, "uuid", null) });
  const makeRequest = (event) => {
    const { data } = event;
    const text = () => {
      if (data.body === undefined) throw new TypeError("the body is not UTF-8 text; read request.bodyBase64 instead");
      return data.body;
    };
    return freeze({ ...data, id: event.id, time: event.time, text, json: () => parse(text()) });
  };
  const makeKv = (execution) => freeze({
    async get(collection, key) { return parse(callHost(execution, "get", [collection, key])); },
    async set(collection, key, value) { callHost(execution, "set", [collection, key, toJson(value, "the value")]); },
    async delete(collection, key) { callHost(execution, "delete", [collection, key]); },
    async list(collection, { prefix = "", limit = 100, after = null } = {}) {
      const entries = callHost(execution, "list", [collection, prefix, limit, after]);
      return entries.map(([key, value]) => ({ key, value: parse(value) }));
    },
  });
  const makeSignal = (execution) => freeze({
    get aborted() { return callHost(execution, "aborted", null); },
    throwIfAborted() {
      if (this.aborted) {
        throw assign(new Error("the execution was cancelled, or its timeout has passed"), { code: "aborted" });
      }
    },
  });
  const makeContext = (execution, app, trigger, attempt, maxAttempts, idempotencyKey, fencingToken, executionId) => {
    // Most handlers use little of this, and each closure costs time. So `kv` and `signal` are made
    // at their first use.
    let kv, signal;
    return freeze({
      app, trigger, attempt, maxAttempts, idempotencyKey, fencingToken, executionId,
      get kv() { return kv ??= makeKv(execution); },
      get signal() { return signal ??= makeSignal(execution); },
      async emit(type, data = null, { subject = "" } = {}) {
        callHost(execution, "emit", [type, subject, toJson(data, "the data")]);
      },
      async sleep(ms) { callHost(execution, "sleep", ms); },
    });
  };
  return { makeContext, makeRequest };
}
