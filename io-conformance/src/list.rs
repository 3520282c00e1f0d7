//! The one list of all cases. A case that is written and not listed here is dead code, and the compiler says so.

/// Hands the list to the macro `callback`, after `args`.
#[doc(hidden)]
#[macro_export]
macro_rules! with_cases {
    ([$($callback:tt)+] ($($args:tt)*)) => {
        $($callback)+! {
            ($($args)*)
            calls {
                a_call_becomes_a_row_that_is_leased_to_who_asked,
                an_invocation_runs_a_script_as_who_calls,
                calls_are_begun_in_their_order_and_each_is_refused_alone,
                what_cannot_be_called_is_refused_and_nothing_is_written,
                a_call_beyond_the_limit_is_refused,
                effects_are_applied_once_and_the_row_stays_until_its_reply_is_delivered,
                what_a_call_writes_and_emits_follows_from_it,
                conflicting_effects_of_a_call_leave_it_as_it_was,
                a_call_whose_daemon_died_is_found_and_can_only_be_abandoned,
                an_orphaned_invocation_is_found_too,
                a_failed_call_keeps_its_outcome_and_applies_nothing,
                a_renewed_call_is_no_orphan,
                a_repeated_call_gets_the_reply_of_the_first_success,
            }
            claim {
                a_lane_is_claimed_in_the_order_of_its_emissions,
                a_lane_is_claimed_in_the_order_of_due_time,
                each_lane_gives_no_more_than_its_quota,
                what_is_due_later_is_not_claimed,
                nothing_is_claimed_below_the_floor,
                a_claimed_row_is_not_claimed_again_while_its_lease_runs,
                an_expired_lease_is_an_attempt_that_was_lost,
                a_claim_beyond_the_last_attempt_is_no_attempt,
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
                a_settlement_sent_twice_at_the_same_moment_is_applied_once,
                of_concurrent_puts_of_an_absent_key_one_succeeds,
                concurrent_puts_each_have_a_version_of_their_own,
                a_repeated_request_at_the_same_moment_is_made_once,
                a_batch_is_seen_whole_or_not_at_all,
            }
            cron {
                a_new_schedule_has_no_tick_and_gets_one,
                a_due_tick_becomes_one_row_of_its_trigger,
                a_tick_that_is_offered_twice_is_taken_once,
                of_many_daemons_one_ticks,
                a_tick_of_another_expectation_changes_nothing,
                several_triggers_tick_in_one_call,
                a_changed_trigger_forgets_its_next_tick,
                a_disabled_trigger_does_not_tick,
                a_trigger_that_a_death_switched_off_does_not_tick,
                a_paused_trigger_ticks_into_the_outbox,
                a_deleted_trigger_does_not_tick,
                a_deployment_keeps_the_schedule_of_what_is_the_same,
            }
            dead_letters {
                a_death_fires_the_triggers_that_listen_for_it,
                a_paused_handler_waits,
                several_deaths_in_one_exchange_fire_one_event_each,
                a_handler_that_succeeds_marks_its_letter,
                a_handler_whose_effects_conflict_has_handled_nothing,
                a_handler_that_fails_makes_no_letter,
                a_handler_that_was_lost_is_claimed_once_more,
                the_rows_of_a_deleted_trigger_fire_when_they_die,
                a_fenced_or_deferred_row_fires_nothing,
                letters_are_found_by_filter_newest_first,
                a_letter_is_read_by_its_id_within_its_app,
                a_letter_names_the_version_of_its_script,
                letters_of_an_unknown_app_are_told,
            }
            deliveries {
                a_queue_shows_its_depth_and_its_first_row,
                a_waiting_row_is_shown_whole,
                each_row_shows_where_it_stands,
                rows_are_found_by_filter_in_the_order_of_ids,
                the_rows_of_a_deleted_trigger_are_still_shown,
                a_row_is_shown_only_in_its_app,
                deliveries_of_an_unknown_app_are_told,
            }
            deploy {
                the_first_deployment_makes_the_app,
                apps_are_listed_by_name_and_keep_their_age,
                a_deployment_tells_what_it_changed,
                the_same_deployment_changes_nothing,
                a_paused_trigger_stays_paused,
                a_deployment_deletes_as_a_delete_does,
                a_deployment_touches_no_other_app,
                a_deployment_is_seen_whole_or_not_at_all,
                concurrent_deployments_leave_one_of_them,
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
            emit {
                an_event_is_emitted_whole,
                an_event_carries_its_cause,
                events_are_answered_in_order_each_with_its_lanes,
                nothing_emitted_is_nothing,
                a_large_batch_is_emitted,
                a_repeated_request_is_answered_as_the_first_time,
                a_key_that_is_used_for_another_request_is_refused,
                a_key_belongs_to_its_app,
                emitting_in_an_unknown_app_is_told,
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
            inline_claim {
                an_emission_claims_its_rows_inline,
                a_mutation_claims_its_rows_inline,
                an_inline_claim_takes_no_more_rows_than_the_room,
                an_inline_claim_takes_no_rows_of_closed_lanes,
                an_inline_claim_takes_the_quotas_of_the_core,
                an_inline_claim_of_a_mutation_takes_the_quotas_of_the_core,
                lanes_without_an_inline_claim_wake_the_dispatcher,
                an_inline_claim_takes_no_older_rows,
                an_inline_claim_respects_pauses_and_limits,
                every_emission_returns_its_inline_claim_guard,
                a_dropped_caller_does_not_lose_an_inline_claim,
            }
            kv {
                a_value_reads_back_with_its_version_and_time,
                a_value_is_kept_byte_for_byte,
                a_guard_for_an_absent_key_holds_once,
                a_guard_for_a_version_holds_for_that_version,
                a_guarded_delete_deletes_only_that_version,
                a_failed_guard_emits_nothing,
                a_delete_of_an_absent_key_emits_nothing,
                versions_grow_across_a_delete,
                a_mutation_is_told_as_its_event_tells_it,
                a_mutation_carries_its_cause,
                a_list_is_in_byte_order_by_prefix_and_page,
                a_cursor_need_not_be_a_key_that_is_there,
                kv_of_an_unknown_app_is_told,
            }
            lanes {
                an_empty_outbox_has_no_lanes,
                lanes_are_discovered_with_their_next_due_time_and_limit,
                a_lane_that_is_wholly_leased_is_not_discovered,
                an_expired_lease_brings_its_lane_back,
                what_is_due_later_is_discovered_with_its_time,
                a_lane_shows_the_limit_of_now,
                no_more_than_the_limit_is_leased_at_once,
                a_changed_limit_counts_what_is_leased,
                an_expired_lease_frees_its_place,
                a_renewal_keeps_its_place,
                a_pause_does_not_touch_what_runs,
            }
            ledgers {
                a_loop_is_one_entry_for_a_trigger_and_a_root,
                an_abandoned_execution_is_told_with_its_cause,
            }
            matching {
                app_events_match_as_in_the_core,
                kv_events_match_as_in_the_core,
                dead_letters_match_as_in_the_core,
            }
            principals {
                a_principal_is_made_once_and_found,
                a_password_is_kept_as_its_hash,
                roles_are_given_changed_and_taken,
                a_token_names_its_bearer_while_it_is_valid,
                a_claim_tells_how_the_registrant_stands,
                a_call_of_who_may_not_run_it_is_refused,
            }
            redrive {
                a_redriven_letter_is_the_delivery_that_it_was,
                a_redriven_delivery_that_dies_again_is_a_new_letter_that_names_the_old_one,
                a_letter_is_redriven_once,
                batches_go_on_where_the_last_one_ended,
                letters_are_selected_by_what_is_asked,
                letters_of_a_trigger_that_is_gone_are_skipped,
                letters_of_another_app_are_out_of_reach,
                what_a_person_decided_stands_when_the_handler_ends,
                a_handler_that_failed_says_what_of,
            }
            scripts {
                a_script_reads_back_byte_for_byte,
                scripts_are_listed_by_name,
                the_same_source_keeps_its_version,
                versions_of_a_script_grow_across_a_delete,
                a_scripts_name_belongs_to_its_app,
                scripts_of_an_unknown_app_are_told,
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
            triggers {
                every_kind_of_trigger_reads_back_whole,
                triggers_are_listed_by_name,
                an_unchanged_trigger_keeps_its_version_and_registrant,
                each_change_of_a_trigger_is_a_new_version,
                a_pause_is_no_change_of_the_trigger,
                a_deleted_trigger_is_gone_and_frees_its_name,
                a_name_belongs_to_its_app,
                triggers_of_an_unknown_app_are_told,
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
