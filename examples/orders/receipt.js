// Runs for each put to orders/{id}: writes receipts/{id} and tells the app of the new order.
// What it writes and emits happens together and once, or, if it throws, not at all.
export default async function (event, ctx) {
  const { key: id, value: order } = event.data;
  if (id.startsWith("bad-")) {
    throw new Error(`order ${id} cannot be processed`);
  }
  const customer = String(order?.customer ?? "anonymous");
  const total = Number(order?.total ?? 0);
  await ctx.kv.set("receipts", id, { order: id, customer, total, at: event.time, attempt: ctx.attempt });
  await ctx.emit("order.created", { customer, total }, { subject: id });
}
