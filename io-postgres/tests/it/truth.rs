//! What must be true of `outbox`, `claims` and `lanes` at any time.

use crate::database::Database;
use sqlx::PgConnection;

/// One line for each row, claim or lane that breaks a rule.
const BROKEN_RULES: &str = "
    with listed as (
        select c.claim, c.trigger_id, c.rows_left, l.id, coalesce(l.turn, 0) as turn
        from tidegate.claims c cross join lateral unnest(c.ids, c.turns) l (id, turn)
    ), held as (
        select l.claim, l.trigger_id, o.id, o.trigger_id as lane, o.due_at, o.waits, o.suspect
        from listed l join tidegate.outbox o on o.id = l.id and o.turn = l.turn
    ), counted as (
        select c.claim, c.rows_left, count(h.id) as rows
        from tidegate.claims c left join held h on h.claim = c.claim group by c.claim
    ), floors as (
        select k.trigger_id, k.oldest_claim, f.due, f.id
        from tidegate.lanes k
        cross join lateral (
            select k.floor_due as due, k.floor_id as id
            union all
            select c.floor_due, c.floor_id from tidegate.claims c
            where c.trigger_id = k.trigger_id and c.claim >= k.oldest_claim
            order by due desc, id desc limit 1
        ) f
    )
    select format('row %s is held by %s claims', h.id, count(*)) from held h group by h.id having count(*) > 1
    union all
    select format('claim %s holds row %s of another lane', h.claim, h.id) from held h where h.lane <> h.trigger_id
    union all
    select format('row %s is in no index and no claim', o.id)
    from tidegate.outbox o where not o.waits and not o.suspect and not exists (select from held h where h.id = o.id)
    union all
    select format('claim %s holds the free suspect %s', h.claim, h.id) from held h where h.suspect
    union all
    select format('claim %s has rows_left %s and holds %s rows', c.claim, c.rows_left, c.rows)
    from counted c where c.rows_left <> c.rows
    union all
    select format('row %s of claim %s is above the floor of lane %s', h.id, h.claim, f.trigger_id)
    from held h join floors f on f.trigger_id = h.lane where h.waits and (h.due_at, h.id) > (f.due, f.id)
    union all
    select format('claim %s holds row %s and is older than the oldest claim of lane %s', h.claim, h.id, f.trigger_id)
    from held h join floors f on f.trigger_id = h.lane where h.waits and h.claim < f.oldest_claim";

/// The broken rules, all in one snapshot, so that daemons may be at work.
pub(crate) async fn broken_rules(client: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(BROKEN_RULES).fetch_all(client).await.unwrap()
}

pub(crate) async fn check(database: &Database) {
    let broken = broken_rules(&mut database.client().await).await;
    assert!(broken.is_empty(), "{broken:#?}");
}
