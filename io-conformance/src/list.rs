//! The one list of all cases. A case that is written and not listed here is dead code, and the compiler says so.

/// Hands the list to the macro `callback`, after `args`.
#[doc(hidden)]
#[macro_export]
macro_rules! with_cases {
    ([$($callback:tt)+] ($($args:tt)*)) => {
        $($callback)+! {
            ($($args)*)
            claim {
                a_lane_is_claimed_in_the_order_of_its_emissions,
                a_lane_is_claimed_in_the_order_of_due_time,
                each_lane_gives_no_more_than_its_quota,
                what_is_due_later_is_not_claimed,
                nothing_is_claimed_below_the_floor,
                a_claimed_row_is_not_claimed_again_while_its_lease_runs,
                an_expired_lease_is_an_attempt_that_was_lost,
                a_row_is_claimed_even_beyond_its_last_attempt,
                a_lane_that_does_not_exist_gives_nothing,
                an_empty_exchange_tells_the_time,
                a_claim_shows_the_trigger_as_it_is_now,
                a_claim_names_the_version_of_the_script,
            }
            concurrent {
                eight_dispatchers_hand_out_each_claim_once,
                increments_by_effects_sum_up_exactly,
                concurrent_claims_never_pass_the_limit,
                exchanges_in_opposite_orders_do_not_deadlock,
                of_many_claims_of_one_row_only_the_last_is_applied,
                of_concurrent_puts_of_an_absent_key_one_succeeds,
                concurrent_puts_each_have_a_version_of_their_own,
                a_repeated_request_at_the_same_moment_is_made_once,
                a_batch_is_seen_whole_or_not_at_all,
            }
            effects {
                staged_writes_are_written_and_fan_out,
                staged_deletes_are_deletes_and_fan_out,
                staged_events_are_emitted_in_order_after_the_writes,
                a_chain_grows_by_one_at_each_link,
                what_effects_emit_is_claimed_in_the_same_exchange,
                reads_that_still_hold_let_the_effects_through,
                an_absent_key_that_somebody_put_conflicts,
                a_value_that_somebody_changed_conflicts,
                a_value_that_somebody_deleted_conflicts,
                a_value_that_was_deleted_and_put_again_conflicts,
                after_a_conflict_the_same_claim_settles_with_fresh_reads,
                a_conflict_does_not_disturb_the_other_settlements,
                of_two_increments_in_one_exchange_the_second_conflicts,
                a_delete_of_an_absent_key_changes_no_version,
                of_blind_writes_the_last_one_wins,
                reads_alone_never_conflict,
                effects_stay_within_their_app,
                many_effects_are_applied_together,
            }
            fan_out {
                a_put_makes_one_row_for_each_matching_trigger,
                a_trigger_gets_only_the_operations_that_it_names,
                the_claimed_row_carries_the_event_and_the_trigger_whole,
                a_row_keeps_the_policy_of_its_emission,
                a_disabled_trigger_gets_no_rows,
                a_paused_triggers_rows_wait_until_it_is_resumed,
                a_deleted_triggers_rows_come_without_a_handler,
                a_deleted_triggers_rows_are_not_those_of_its_successor,
                apps_do_not_hear_of_each_other,
                cron_and_http_triggers_match_no_event,
            }
            fence {
                a_claim_that_another_took_over_is_fenced,
                a_claim_of_a_row_that_is_gone_is_fenced,
                a_claim_that_was_released_is_fenced,
                a_claim_that_never_was_is_fenced,
                a_stale_claim_of_a_dead_letter_handler_is_fenced,
                a_settlement_that_is_sent_twice_is_applied_once,
                a_handlers_settlement_that_is_sent_twice_is_applied_once,
                a_fenced_settlement_does_not_disturb_the_others,
                an_expired_claim_is_valid_until_another_takes_over,
                a_renewal_prolongs_what_is_held,
                a_renewal_changes_nothing_but_the_end_of_the_lease,
                a_renewal_of_a_stale_claim_is_fenced,
            }
            lanes {
                an_empty_outbox_has_no_lanes,
                lanes_are_discovered_with_their_next_due_time_and_limit,
                a_lane_that_is_wholly_leased_is_not_discovered,
                an_expired_lease_brings_its_lane_back,
                what_is_due_later_is_discovered_with_its_time,
                a_lane_shows_the_limit_of_now,
                no_more_than_the_limit_is_leased_at_once,
                an_expired_lease_frees_its_place,
                a_renewal_keeps_its_place,
                a_pause_does_not_touch_what_runs,
            }
            matching {
                app_events_match_as_in_the_core,
                kv_events_match_as_in_the_core,
                dead_letters_match_as_in_the_core,
            }
            settle {
                done_deletes_the_row,
                a_retry_is_due_after_its_delay_and_keeps_its_history,
                a_retry_without_delay_is_claimed_in_the_same_exchange,
                the_history_holds_every_attempt_in_order,
                every_class_of_failure_reads_back,
                dead_makes_a_letter_of_the_row,
                dead_of_a_lost_attempt_keeps_what_the_claim_recorded,
                dead_without_any_attempt_has_no_history,
                dead_of_a_deleted_trigger_still_names_it,
                dead_may_switch_its_trigger_off,
                dropped_deletes_the_row_and_makes_no_letter,
                a_loop_is_dropped_as_often_as_it_comes_round,
                deferred_gives_the_attempt_back,
                deferred_leaves_no_trace_but_the_lease,
                abandoned_takes_the_row_away_and_makes_no_letter,
                one_exchange_settles_the_last_batch_and_claims_the_next,
                one_exchange_takes_every_verdict_at_once,
            }
        }
    };
}

macro_rules! declare {
    (() $($theme:ident { $($case:ident,)* })*) => {
        /// The cases by theme. Use [`conformance!`](crate::conformance), which calls each of them.
        #[doc(hidden)]
        pub mod cases {
            $(pub mod $theme {
                $(pub async fn $case<W: crate::World>(world: W) {
                    crate::world::run(world, crate::$theme::$case).await;
                })*
            })*
        }
    };
}

with_cases! { [declare] () }

/// Makes one test of every case. The argument is an expression that gives a new [`World`](crate::World) with an empty
/// store; it may `await`, and it sees the names of the module where the macro stands.
#[macro_export]
macro_rules! conformance {
    ($fresh:expr) => {
        $crate::with_cases! { [$crate::conformance_tests] ($fresh) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    (($fresh:expr) $($theme:ident { $($case:ident,)* })*) => {
        $(mod $theme {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::cases::$theme::$case($fresh).await;
            })*
        })*
    };
}
