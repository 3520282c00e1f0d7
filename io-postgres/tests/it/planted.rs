//! Planted bugs: one change of the SQL each, which a named test must catch.
//!
//! Each bug is at a border of the store: a place, a lease, a floor, or a lock.

use crate::database::Database;
use crate::{Fresh, clocks, held_transaction, moved_rows, stragglers, truth, two_daemons};
use sqlx::{AssertSqlSafe, Executor};
use std::sync::Arc;
use std::time::Duration;
use tidegate_io_conformance::cases;

const SETTLE: &str = include_str!("../../../migrations/postgres/0004_settle.sql");
const CLAIMS: &str = include_str!("../../../migrations/postgres/0005_claims.sql");
const EXCHANGE: &str = include_str!("../../../migrations/postgres/0006_exchange.sql");
const LANES: &str = include_str!("../../../migrations/postgres/0007_lanes.sql");
const PLANNER: &str = include_str!("../../../migrations/postgres/0011_planner.sql");

/// The change of one function: `sound` becomes `wrong`.
struct Bug {
    migration: &'static str,
    sound: &'static str,
    wrong: &'static str,
}

impl Bug {
    /// The function with the bug. The texts must fit the migrations of today.
    fn function(&self) -> String {
        assert_eq!(self.migration.matches(self.sound).count(), 1, "{:?} must occur once", self.sound);
        let at = self.migration.find(self.sound).unwrap();
        let begin = self.migration[..at].rfind("create function").unwrap();
        let end = at + self.migration[at..].find("$$;").unwrap() + 3;
        let function = self.migration[begin..end].replacen(self.sound, self.wrong, 1);
        function.replacen("create function", "create or replace function", 1)
    }

    async fn plant(&self, database: &Database) {
        let mut client = database.client().await;
        client.execute(AssertSqlSafe(self.function())).await.expect("the planted function is valid SQL");
        // A replaced function loses its settings.
        client.execute(PLANNER).await.unwrap();
    }

    /// Asserts that the scenario fails, within a minute, on a schema with the bug.
    async fn fails<F>(self, scenario: impl FnOnce(Arc<Database>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (database, store) = Database::with_store().await;
        store.close().await;
        self.plant(&database).await;
        let database = Arc::new(database);
        let run = scenario(Arc::clone(&database));
        let checked = Arc::clone(&database);
        let run = tokio::spawn(async move {
            run.await;
            truth::check(&checked).await;
        });
        let result = tokio::time::timeout(Duration::from_secs(60), run).await;
        assert!(matches!(result, Ok(Err(_))), "the bug is not caught: {:?} instead of {:?}", self.wrong, self.sound);
        // Tasks of the scenario may still use the database.
        database.remove().await;
    }
}

/// A conformance case as a scenario. Its database outlives it.
macro_rules! case {
    ($theme:ident::$case:ident) => {
        |database: Arc<Database>| async move {
            let fresh = Fresh { store: Arc::new(database.store()), database };
            cases::$theme::$case(fresh).await;
        }
    };
}

macro_rules! planted {
    ($($name:ident: $migration:ident, $sound:literal => $wrong:literal, $scenario:expr;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            Bug { migration: $migration, sound: $sound, wrong: $wrong }.fails($scenario).await;
        })*
    };
}

planted! {
    // A place that another row has now.
    a_settlement_trusts_the_place: SETTLE,
        "and ((o.id + 0, o.turn) in (select l.id, l.turn from listed l)) is true" => "",
        moved_rows::reused_place;
    a_settlement_trusts_the_place_in_a_rewritten_table: SETTLE,
        "and ((o.id + 0, o.turn) in (select l.id, l.turn from listed l)) is true" => "",
        moved_rows::rewritten_between;
    a_settlement_checks_no_turn: SETTLE,
        "and ((o.id + 0, o.turn) in (select l.id, l.turn from listed l)) is true"
            => "and (o.id + 0 in (select l.id from listed l)) is true",
        moved_rows::back_at_its_place;
    a_settlement_by_id_checks_no_turn: SETTLE,
        "where o.id = any (array[l.id]) and o.turn = l.turn\n        returning" => "where o.id = any (array[l.id]) returning",
        case!(lane_claims::a_released_row_can_be_claimed_while_its_old_claim_holds_others);
    a_moved_row_is_not_found_by_its_id: SETTLE,
        "if cardinality(ids) = cardinality(p_ids) then" => "if true then",
        moved_rows::rewritten_during_a_drain;

    // A claim that has expired, and is settled or renewed.
    a_lost_row_keeps_its_turn: EXCHANGE,
        "turn = o.turn + 1, waits = false" => "turn = o.turn, waits = false",
        two_daemons::ended_in_part;
    a_lost_row_stays_in_its_old_claim: EXCHANGE,
        "perform tidegate.leave_claims(p_left => v_left);" => "null;",
        case!(losses::the_rows_of_an_expired_claim_become_suspects);
    a_claimed_suspect_stays_free: EXCHANGE,
        "update tidegate.outbox o set suspect = false" => "update tidegate.outbox o set suspect = true",
        case!(losses::a_suspect_takes_a_slot_of_its_lane);
    a_row_that_was_held_ahead_is_lost: EXCHANGE,
        "coalesce(r.nth > c.starts, false)" => "false",
        case!(losses::rows_that_were_held_ahead_are_not_lost);
    suspects_that_were_lost_are_claimed_together: EXCHANGE,
        "limit least(v_quota, case when v_lost > 0 then 1 end)" => "limit v_quota",
        case!(losses::the_rows_of_an_expired_claim_become_suspects);
    suspects_are_claimed_by_their_due_time: EXCHANGE,
        "and s.lost = v_lost" => "",
        case!(losses::suspects_with_fewer_losses_come_first);
    a_suspect_goes_back_to_its_lane: SETTLE,
        "waits = lost = 0, suspect = lost > 0" => "waits = true",
        case!(losses::a_suspect_stays_a_suspect);
    a_row_that_goes_back_keeps_its_turn: SETTLE,
        "interval '1 microsecond', turn = turn + 1," => "interval '1 microsecond', turn = turn,",
        case!(lane_claims::a_released_row_can_be_claimed_while_its_old_claim_holds_others);
    a_claim_ends_with_its_first_row: CLAIMS,
        "if v_ended.rows_left > v_rows then" => "if false then",
        case!(lane_claims::a_renewal_extends_the_rest_of_a_claim);
    a_claim_never_ends: CLAIMS,
        "delete from tidegate.claims c where c.claim = v_claim;" => "null;",
        two_daemons::at_random_without_limit;
    a_renewal_keeps_a_void_claim: CLAIMS,
        "where not c.is_void and (t.max_concurrency is null or c.lease_until > clock_timestamp())" => "",
        two_daemons::renewed_without_a_slot;

    // Rows that were claimed as they were written.
    an_inline_claim_is_not_ended: EXCHANGE,
        "and c.lease_until <= p_now and c.trigger_id = any (p_lanes)"
            => "and c.lease_until <= p_now and c.trigger_id = any (p_lanes) and c.floor_due > '-infinity'",
        case!(inline_claim::the_rows_of_a_lost_inline_claim_become_suspects);
    an_inline_claim_is_not_discovered: LANES,
        "and o.turn = coalesce(l.turn, 0)\n" => "and o.turn = coalesce(l.turn, 0) and o.waits\n",
        case!(inline_claim::the_rows_of_a_lost_inline_claim_become_suspects);
    a_call_is_not_ended: EXCHANGE,
        "and c.lease_until <= p_now and c.trigger_id = any (p_lanes)"
            => "and c.lease_until <= p_now and c.trigger_id = any (p_lanes) and c.floor_due > '-infinity'",
        case!(calls::lost_calls_become_suspects);

    // Rows below the floor.
    stragglers_are_not_searched: EXCHANGE,
        "and o.due_at >= p_look_back and o.due_at <= p_floor_due" => "and false",
        stragglers::found_by_looking_back;
    a_claim_ignores_its_look_back: EXCHANGE,
        "array_agg(least(l.look_back, k.search_due) order by l.at)"
            => "array_agg(coalesce(k.search_due, f.due) order by l.at)",
        stragglers::found_by_looking_back;
    a_full_search_does_not_continue: EXCHANGE,
        "case when (c.rows_left = l.quota or (p_open).is_cut) and" => "case when false and",
        stragglers::thousands_are_drained;
    stragglers_are_claimed_again: EXCHANGE,
        "where c.claim >= (p_open).oldest and c.trigger_id = any ((p_open).lanes))\n" => "where false)\n",
        stragglers::thousands_are_drained;
    a_discovery_never_searches_the_whole_lane: LANES,
        "when k.next_walk <= p_now or k.written_at > p_now then '-infinity'" => "when false then '-infinity'",
        stragglers::found_by_discovery;

    // The floor.
    a_floor_passes_rows_that_no_claim_took: EXCHANGE,
        "select t.due_at, t.id from taken t where t.at = g.at" => "select (p_open).now, 0 from taken t where t.at = g.at",
        case!(claim::rows_beyond_the_floor_are_claimed_without_looking_back);
    a_floor_is_lost_with_its_claim: EXCHANGE,
        "union all select live.due, live.id from live where live.lane = l.id" => "",
        two_daemons::at_random_without_limit;
    floors_are_never_written: EXCHANGE,
        "where k.trigger_id = any (array[w.lane])" => "where false and k.trigger_id = any (array[w.lane])",
        held_transaction::costs_stay_bounded;
    the_floor_of_claims_is_never_raised: CLAIMS,
        "    if not found then\n        return;" => "    if true then\n        return;",
        held_transaction::costs_stay_bounded;

    a_claim_gets_a_lower_number_than_an_earlier_one: EXCHANGE,
        "case when l.number > earlier.number then" => "case when true then",
        clocks::set_back;
    due_times_stay_when_the_clock_is_set_back: LANES,
        "set due_at = o.due_at - v_distance" => "set due_at = o.due_at",
        clocks::waits_no_longer;
    leases_stay_when_the_clock_is_set_back: LANES,
        "set lease_until = c.lease_until - v_distance" => "set lease_until = c.lease_until",
        clocks::waits_no_longer;
    schedules_stay_when_the_clock_is_set_back: LANES,
        "set next_tick = null where t.source" => "set next_tick = t.next_tick where t.source",
        clocks::waits_no_longer;

    // Two daemons.
    a_claim_does_not_lock_its_lane: CLAIMS,
        "where k.trigger_id = l.id for update) k" => "where k.trigger_id = l.id) k",
        two_daemons::claims_at_once;
    a_limited_claim_does_not_lock_its_lane: CLAIMS,
        "where k.trigger_id = l.id for update) k" => "where k.trigger_id = l.id) k",
        two_daemons::at_random_with_limit;
}
