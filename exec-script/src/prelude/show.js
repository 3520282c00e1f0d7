// Values as text for people: the lines of `console`, and the values in messages.
//
// Getters, proxies and patched built-in functions of a script may throw. `show` never does.

const CANNOT_BE_SHOWN = "[cannot be shown]";
const { parse, stringify } = JSON;
const { assign, defineProperty, freeze, keys } = Object;
const { isArray } = Array;

// The text of `value`. `parents` are the objects around it, by which a cycle is recognized.
const show = (value, parents = []) => {
  const depth = parents.length;
  try {
    return showAny(value, parents);
  } catch {
    parents.length = depth;
    return CANNOT_BE_SHOWN;
  }
};

const showAny = (value, parents) => {
  switch (typeof value) {
    case "string": return parents.length === 0 ? value : quote(value);
    case "bigint": return `${value}n`;
    case "function": return value.name ? `[Function: ${value.name}]` : "[Function]";
    case "object": return value === null ? "null" : showOnce(value, parents);
    default: return String(value);
  }
};

const showOnce = (object, parents) => {
  const depth = parents.length;
  for (let i = 0; i < depth; i++) if (parents[i] === object) return "[Circular]";
  parents[depth] = object;
  const text = showObject(object, parents);
  parents.length = depth;
  return text;
};

const showObject = (object, parents) => {
  if (object instanceof Error) return showError(object, parents);
  if (object instanceof Date) return isNaN(object) ? "Invalid Date" : object.toISOString();
  if (object instanceof RegExp) return String(object);
  if (isArray(object) || (ArrayBuffer.isView(object) && !(object instanceof DataView))) {
    return `[${list(object.length, (i) => show(object[i], parents))}]`;
  }
  if (object instanceof Set) {
    const items = [...object];
    return `Set{${list(items.length, (i) => show(items[i], parents))}}`;
  }
  if (object instanceof Map) {
    const items = [...object];
    return `Map{${list(items.length, (i) => `${show(items[i][0], parents)} => ${show(items[i][1], parents)}`)}}`;
  }
  if (typeof object.toJSON === "function") return showAny(object.toJSON(), parents);
  const names = keys(object);
  return `{${list(names.length, (i) => `${quote(names[i])}:${showProperty(object, names[i], parents)}`)}}`;
};

const showProperty = (object, name, parents) => {
  let value;
  try {
    value = object[name];
  } catch {
    return CANNOT_BE_SHOWN;
  }
  return show(value, parents);
};

const showError = (error, parents) => {
  const { name, message, stack, cause } = error;
  const title = message ? `${name}: ${message}` : `${name}`;
  const place = stack ? `\n${String(stack).trimEnd()}` : "";
  return title + place + (cause === undefined ? "" : `\ncause: ${show(cause, parents)}`);
};

// As JSON. Half of a surrogate pair would become an escape.
const quote = (text) => stringify(text.toWellFormed());

const list = (length, item) => {
  let text = "";
  for (let i = 0; i < length; i++) text += i === 0 ? item(i) : `,${item(i)}`;
  return text;
};

// A short text of `value` for a message about it.
const brief = (value) => {
  switch (typeof value) {
    case "string": return quote(value.length > 80 ? `${value.slice(0, 80)}…` : value);
    case "function": return "a function";
    case "object": return value === null ? "null" : isArray(value) ? "an array" : "an object";
    default: return show(value);
  }
};
