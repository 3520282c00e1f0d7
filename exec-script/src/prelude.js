// Makes what a script sees beyond the language. `host(execution, op, json)` answers JSON: {"ok": …} or {"error": {…}}.
// `random` draws for `Math.random`. It runs once for an isolate; `ctx` once for each execution in it, which its number
// tells from the others.
export default (host, random) => {
  const { parse, stringify } = JSON;
  Math.random = Object.defineProperty(random, "name", { value: "random", configurable: true });
  // To the host, `console` and `crypto` are whichever execution runs.
  const ANY = 0;
  const call = (execution, op, request) => {
    const answer = parse(host(execution, op, stringify(request)));
    if (answer.error) {
      throw Object.assign(new Error(answer.error.message), { code: answer.error.code });
    }
    return answer.ok;
  };
  const json = (value, what) => {
    const text = stringify(value);
    if (text === undefined) {
      throw Object.assign(new TypeError(`${what} is not JSON`), { code: "not_json" });
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
  globalThis.console = Object.freeze({
    debug: log("debug"), log: log("info"), info: log("info"), warn: log("warn"), error: log("error"),
  });
  globalThis.crypto = Object.freeze({ randomUUID: () => call(ANY, "uuid", null) });
  const request = (event) => {
    const { data } = event;
    const text = () => {
      if (data.body === undefined) throw new TypeError("the body is not text; see request.bodyBase64");
      return data.body;
    };
    return Object.freeze({ ...data, id: event.id, time: event.time, text, json: () => parse(text()) });
  };
  const ctx = (execution, info) => {
    const own = (op, request) => call(execution, op, request);
    const signal = Object.freeze({
      get aborted() { return own("aborted", null); },
      throwIfAborted() {
        if (this.aborted) throw Object.assign(new Error("the execution was cancelled"), { code: "aborted" });
      },
    });
    const kv = Object.freeze({
      async get(collection, key) { return parse(own("get", [collection, key])); },
      async set(collection, key, value) { own("set", [collection, key, json(value, "the value")]); },
      async put(collection, key, value) { own("set", [collection, key, json(value, "the value")]); },
      async delete(collection, key) { own("delete", [collection, key]); },
      async list(collection, { prefix = "", limit = 100, after = null } = {}) {
        const entries = own("list", [collection, prefix, limit, after]);
        return entries.map(([key, value]) => ({ key, value: parse(value) }));
      },
    });
    return Object.freeze({
      ...info, kv, signal,
      async emit(type, data = null, { subject = "" } = {}) { own("emit", [type, subject, json(data, "the data")]); },
      async sleep(ms) { own("sleep", ms); },
    });
  };
  return { ctx, request };
}
