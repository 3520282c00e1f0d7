// Recognizes handlers and return values whose code would never run.

const { getOwnPropertyDescriptor, getPrototypeOf } = Object;
const inherits = Function.prototype.call.bind(Object.prototype.isPrototypeOf);
const GENERATOR_FUNCTIONS = [getPrototypeOf(function* () {}), getPrototypeOf(async function* () {})];
// All generators inherit from these, and so do the lazy results of `map` and `filter` of iterators.
const ITERATORS = GENERATOR_FUNCTIONS.map(({ prototype }) => getPrototypeOf(prototype));
const USUAL = "write `export default async function (event, ctx) { … }`";

// The reason why a default export is no handler. `null` if it is one.
const refuseHandler = (handler) => {
  if (typeof handler !== "function") return `the script has no default export that is a function; ${USUAL}`;
  if (GENERATOR_FUNCTIONS.some((prototype) => inherits(prototype, handler))) {
    return `the default export is a generator function, whose body never runs; ${USUAL}`;
  }
  // Only classes have a `prototype` that cannot be replaced.
  if (getOwnPropertyDescriptor(handler, "prototype")?.writable === false) {
    return `the default export is a class, which cannot be called; ${USUAL}`;
  }
  return null;
};

// The reason why the result of a handler shows that some of its code did not run, or `null`.
const refuseResult = (result) => {
  if (typeof result === "function") return "the handler returned a function, which is never called; call it and await it";
  if (ITERATORS.some((prototype) => inherits(prototype, result))) {
    return "the handler returned a generator or an iterator, whose code never runs; loop over it in the handler";
  }
  return null;
};
