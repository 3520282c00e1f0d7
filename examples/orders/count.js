// Runs for each order.created: counts the customer's orders.
// Reading and then writing is safe: if somebody else writes in between, nothing is applied and this runs again.
export default async function (event, ctx) {
  const { customer } = event.data;
  const before = await ctx.kv.get("counts", customer);
  await ctx.kv.set("counts", customer, { orders: (before?.orders ?? 0) + 1 });
}
