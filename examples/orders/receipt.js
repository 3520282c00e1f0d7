// Runs for each put to orders/{id}. It writes receipts/{id} and emits order.created.
// The write and the event are applied together and once. If the script throws, neither is applied.
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
