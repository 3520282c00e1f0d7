// Makes what a script sees beyond the language. `host(execution, op, json)` answers JSON: {"ok": …} or {"error": {…}}.
// `random` draws for `Math.random`. It runs once for an isolate; `ctx` once for each execution in it, which its number
// tells from the others.
export default (host, random) => {
  const { parse, stringify } = JSON;
  const { assign, freeze } = Object;
  Math.random = Object.defineProperty(random, "name", { value: "random", configurable: true });
  // To the host, `console` and `crypto` are whichever execution runs.
  const ANY = 0;
  const call = (execution, op, request) => {
    const answer = parse(host(execution, op, stringify(request)));
    if (answer.error) {
      throw assign(new Error(answer.error.message), { code: answer.error.code });
    }
    return answer.ok;
  };
  const json = (value, what) => {
    const text = stringify(value);
    if (text === undefined) {
      throw assign(new TypeError(`${what} is not JSON`), { code: "not_json" });
    }
    return text;
  };
  const show = (value) => {
    if (typeof value === "string") return value;
    if (value instanceof Error) return value.stack ? `${value}\n${value.stack}` : String(value);
    try {
      return stringify(value) ?? String(value);
    } catch {
      return String(value);
    }
  };
  const log = (level) => (...values) => void host(ANY, "log", stringify([level, values.map(show).join(" ")]));
  globalThis.console = freeze({
    debug: log("debug"), log: log("info"), info: log("info"), warn: log("warn"), error: log("error"),
  });
  globalThis.crypto = freeze({ randomUUID: () => call(ANY, "uuid", null) });
  const request = (event) => {
    const { data } = event;
    const text = () => {
      if (data.body === undefined) throw new TypeError("the body is not text; see request.bodyBase64");
      return data.body;
    };
    return freeze({ ...data, id: event.id, time: event.time, text, json: () => parse(text()) });
  };
  const kvOf = (execution) => {
    const own = (op, request) => call(execution, op, request);
    return freeze({
      async get(collection, key) { return parse(own("get", [collection, key])); },
      async set(collection, key, value) { own("set", [collection, key, json(value, "the value")]); },
      async delete(collection, key) { own("delete", [collection, key]); },
      async list(collection, { prefix = "", limit = 100, after = null } = {}) {
        const entries = own("list", [collection, prefix, limit, after]);
        return entries.map(([key, value]) => ({ key, value: parse(value) }));
      },
    });
  };
  const signalOf = (execution) => freeze({
    get aborted() { return call(execution, "aborted", null); },
    throwIfAborted() {
      if (this.aborted) throw assign(new Error("the execution was cancelled"), { code: "aborted" });
    },
  });
  const ctx = (execution, app, trigger, attempt, maxAttempts, idempotencyKey, fencingToken, executionId) => {
    // Most handlers need little of this, and each function costs: what is not asked for is not made.
    let kv, signal;
    return freeze({
      app, trigger, attempt, maxAttempts, idempotencyKey, fencingToken, executionId,
      get kv() { return kv ??= kvOf(execution); },
      get signal() { return signal ??= signalOf(execution); },
      async emit(type, data = null, { subject = "" } = {}) {
        call(execution, "emit", [type, subject, json(data, "the data")]);
      },
      async sleep(ms) { call(execution, "sleep", ms); },
    });
  };
  return { ctx, request };
}
