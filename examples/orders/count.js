// Runs for each order.created, and counts the orders of the customer.
// Reading and then writing is safe. If another execution changes the value in between, no effect of
// this execution is applied, and it runs again.
export default async function (event, ctx) {
  const { customer } = event.data;
  const before = await ctx.kv.get("counts", customer);
  await ctx.kv.set("counts", customer, { orders: (before?.orders ?? 0) + 1 });
}
