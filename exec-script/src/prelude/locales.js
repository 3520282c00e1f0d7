// The engine has no data of locales. It would ignore a locale and its options silently, so they are
// refused. Without them the functions answer in the same way for every reader.

const refuseLocales = (holder, prototype, name, own) => {
  const builtin = prototype[name];
  const call = Function.prototype.call.bind(builtin);
  const refuse = () => {
    const message = `${holder}.prototype.${name} with a locale or options is unsupported: scripts have no data of locales`;
    throw fail(new Error(`${message}. Call it without them, or format the value in the script.`), "unsupported");
  };
  // `own` parameters come before the locale and its options.
  const checked = own === 0
    ? { [name](locale, options) { return locale === undefined && options === undefined ? call(this) : refuse(); } }
    : { [name](that, locale, options) { return locale === undefined && options === undefined ? call(this, that) : refuse(); } };
  defineProperty(checked[name], "length", { value: builtin.length });
  defineProperty(prototype, name, { value: checked[name] });
};

for (const type of [Number, BigInt, Date, Array]) refuseLocales(type.name, type.prototype, "toLocaleString", 0);
refuseLocales("TypedArray", getPrototypeOf(Uint8Array.prototype), "toLocaleString", 0);
refuseLocales("Date", Date.prototype, "toLocaleDateString", 0);
refuseLocales("Date", Date.prototype, "toLocaleTimeString", 0);
refuseLocales("String", String.prototype, "toLocaleLowerCase", 0);
refuseLocales("String", String.prototype, "toLocaleUpperCase", 0);
refuseLocales("String", String.prototype, "localeCompare", 1);
