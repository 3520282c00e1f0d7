// Checks the arguments of the functions of `ctx`. An argument or an option that would have no
// effect is refused, because its author expects one.

const fail = (error, code) => assign(error, { code });
const invalid = (message) => fail(new TypeError(`${message}. This call did nothing.`), "invalid_argument");

// The values that a parameter or an option accepts.
const TEXT = { accepts: (value) => typeof value === "string", expected: "a string" };
const TEXT_OR_NULL = { accepts: (value) => value === null || TEXT.accepts(value), expected: "a string or null" };
const ANY_JSON = { accepts: () => true, expected: "a JSON value" };
const PAGE_LENGTH = {
  accepts: (value) => Number.isInteger(value) && value >= 1 && value <= 1000,
  expected: "an integer from 1 to 1000",
};
const DURATION = {
  accepts: (value) => typeof value === "number" && value >= 0 && value < Infinity,
  expected: "a number of milliseconds, 0 or more",
};
// The object of options, which is always the last parameter and may be absent.
const options = (known) => ({
  known,
  accepts: (value) => value === undefined || (typeof value === "object" && value !== null && !isArray(value)),
  expected: `an object with options (${keys(known).join(", ")})`,
});

// Checks the arguments `given` to the function `call`. The first `required` of its `parameters`
// must be given.
const check = (call, given, parameters, required) => {
  const names = keys(parameters);
  if (given.length < required) {
    const name = names[given.length];
    throw invalid(`${call}: the argument ${name} is missing; it must be ${parameters[name].expected}`);
  }
  if (given.length > names.length) {
    const most = names.length === 0 ? "no argument" : `at most ${names.length} (${names.join(", ")})`;
    throw invalid(`${call} takes ${most}; it got ${given.length}`);
  }
  for (let i = 0; i < given.length; i++) {
    const parameter = parameters[names[i]];
    // Most arguments are right, and a text about the place costs more than the check.
    if (parameter.known !== undefined || !parameter.accepts(given[i])) {
      checkValue(`${call}: the argument ${names[i]}`, given[i], parameter);
    }
  }
};

const checkValue = (place, value, { accepts, expected, known }) => {
  if (!accepts(value)) throw invalid(`${place} must be ${expected}; it is ${brief(value)}`);
  if (known !== undefined && value !== undefined) checkOptions(place, value, known);
};

const checkOptions = (place, given, known) => {
  const names = keys(known);
  for (const name of keys(given)) {
    if (!names.includes(name)) throw invalid(`${place} has an unknown option ${brief(name)}: ${hint(name, names)}`);
  }
  for (const name of names) {
    if (given[name] !== undefined) checkValue(`${place}: the option ${name}`, given[name], known[name]);
  }
};

// The known name that is nearest to `written`, or all known names.
const hint = (written, names) => {
  const most = Math.max(1, written.length / 3);
  const near = names.find((name) => distance(written.slice(0, 80), name) <= most);
  return near === undefined ? `the options are ${names.join(", ")}` : `did you mean ${near}?`;
};

// The number of letters to insert, remove, replace or swap, to turn `a` into `b`.
const distance = (a, b) => {
  const rows = [Array.from({ length: b.length + 1 }, (_, i) => i)];
  for (let i = 1; i <= a.length; i++) {
    rows[i] = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = rows[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      rows[i][j] = Math.min(replaced, rows[i - 1][j] + 1, rows[i][j - 1] + 1, isSwap ? rows[i - 2][j - 2] + 1 : replaced);
    }
  }
  return rows[a.length][b.length];
};
