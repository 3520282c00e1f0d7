//! The list of all cases. The compiler reports a case that is not listed here as dead code.

/// Calls the macro `callback` with `args` and the list.
#[doc(hidden)]
#[macro_export]
macro_rules! with_cases {
    ([$($callback:tt)+] ($($args:tt)*)) => {
        $($callback)+! {
            ($($args)*)
            calls {
                a_call_is_written_as_a_row_leased_to_its_daemon,
                an_invocation_runs_a_script_as_its_caller,
                calls_begin_in_order_and_are_refused_one_by_one,
                a_refused_call_writes_nothing,
                a_call_beyond_the_limit_is_refused,
                effects_are_applied_once_and_the_row_stays_until_its_reply_is_delivered,
                events_of_a_call_continue_its_chain,
                a_conflict_leaves_a_call_unchanged,
                a_call_of_a_dead_daemon_is_claimed_and_can_only_be_abandoned,
                an_orphaned_invocation_is_discovered,
                a_failed_call_keeps_its_outcome_and_applies_nothing,
                a_renewed_call_is_not_claimed,
                a_repeated_call_gets_the_reply_of_the_first_success,
                calls_of_one_request_and_lane_are_one_claim,
                lost_calls_become_suspects,
                an_executed_call_frees_its_slot_once,
            }
            claim {
                a_lane_is_claimed_in_the_order_of_its_emissions,
                a_lane_is_claimed_in_the_order_of_due_time,
                a_claim_takes_at_most_the_quota_of_each_lane,
                a_row_that_is_not_due_is_not_claimed,
                rows_beyond_the_floor_are_claimed_without_looking_back,
                a_row_with_a_live_lease_is_not_claimed,
                a_claim_of_a_missing_lane_takes_nothing,
                an_empty_exchange_returns_the_time,
                a_claim_returns_the_current_trigger,
                a_claim_returns_the_script_version,
            }
            claim_bytes {
                a_claim_ends_before_the_row_that_does_not_fit,
                a_cut_claim_leaves_the_later_lanes_and_the_rows_that_went_back,
                suspects_have_bytes_of_their_own,
            }
            concurrent {
                eight_dispatchers_receive_each_claim_once,
                concurrent_increments_by_effects_are_all_counted,
                concurrent_claims_never_exceed_the_limit,
                exchanges_in_opposite_orders_do_not_deadlock,
                only_the_last_of_many_claims_of_a_row_is_applied,
                a_settlement_sent_four_times_at_once_is_applied_once,
            }
            concurrent_claims {
                rows_of_one_claim_are_settled_by_many_tasks,
                an_expired_claim_is_ended_while_it_settles,
                an_expired_claim_is_ended_once_by_many_tasks,
            }
            concurrent_writes {
                one_of_many_concurrent_puts_of_an_absent_key_succeeds,
                concurrent_puts_get_distinct_versions,
                concurrent_requests_with_one_key_emit_once,
                a_reader_sees_a_whole_batch_or_none_of_it,
            }
            conflicts {
                effects_with_current_reads_are_applied,
                a_read_of_an_absent_key_conflicts_after_a_put,
                a_read_value_conflicts_after_a_change,
                a_read_value_conflicts_after_a_delete,
                a_read_value_conflicts_after_a_delete_and_a_put,
                after_a_conflict_the_same_claim_settles_with_fresh_reads,
                a_conflict_does_not_affect_the_other_settlements,
                the_second_of_two_increments_in_an_exchange_conflicts,
                a_delete_of_an_absent_key_changes_no_version,
                effects_with_only_reads_never_conflict,
            }
            cron {
                a_new_schedule_gets_its_first_tick_without_a_row,
                a_due_tick_becomes_one_row_of_its_trigger,
                a_tick_sent_twice_is_applied_once,
                one_of_many_daemons_applies_a_tick,
                a_tick_with_another_expected_time_changes_nothing,
                several_triggers_tick_in_one_call,
                a_changed_trigger_forgets_its_next_tick,
                a_disabled_trigger_does_not_tick,
                a_trigger_disabled_by_a_dead_verdict_does_not_tick,
                a_paused_trigger_ticks_into_the_outbox,
                a_deleted_trigger_does_not_tick,
                a_deployment_keeps_the_schedule_of_an_unchanged_trigger,
            }
            dead_letters {
                a_dead_letter_fires_the_triggers_that_match_it,
                rows_of_a_paused_dead_letter_handler_wait,
                each_dead_letter_of_an_exchange_fires_its_own_event,
                a_successful_handler_marks_its_letter_as_handled,
                a_conflict_of_a_handler_leaves_its_letter_open,
                a_failed_handler_makes_no_dead_letter,
                a_lost_handler_is_claimed_again,
                a_dead_row_of_a_deleted_trigger_fires_its_handlers,
                a_fenced_or_deferred_settlement_fires_nothing,
                letters_are_filtered_and_listed_newest_first,
                a_letter_is_read_by_its_id_within_its_app,
                a_letter_keeps_the_script_version,
                letters_of_an_unknown_app_are_an_error,
            }
            deliveries {
                a_queue_shows_its_depth_and_its_oldest_due_time,
                a_waiting_row_is_shown_with_all_fields,
                each_row_shows_its_state,
                rows_are_filtered_and_listed_by_id,
                the_rows_of_a_deleted_trigger_are_still_shown,
                a_row_is_shown_only_in_its_app,
                deliveries_of_an_unknown_app_are_an_error,
            }
            deploy {
                the_first_deployment_creates_the_app,
                apps_are_listed_by_name_and_keep_their_creation_time,
                a_deployment_reports_its_changes,
                a_renamed_trigger_keeps_its_deliveries,
                the_same_deployment_changes_nothing,
                a_paused_trigger_stays_paused,
                a_deployment_deletes_absent_triggers,
                a_deployment_changes_no_other_app,
                a_reader_sees_a_whole_deployment_or_none_of_it,
                concurrent_deployments_leave_exactly_one_of_them,
            }
            effects {
                staged_writes_are_applied_and_fan_out,
                staged_deletes_are_applied_and_fan_out,
                staged_events_are_emitted_in_order_after_the_writes,
                each_link_of_a_chain_adds_one_to_the_depth,
                rows_of_effects_are_claimed_in_the_same_exchange,
                the_last_of_several_blind_writes_wins,
                effects_stay_within_their_app,
                many_effects_are_applied_together,
            }
            emit {
                an_event_is_emitted_with_all_fields,
                an_event_carries_its_cause,
                the_answer_lists_events_in_order_with_their_lanes,
                an_empty_emission_writes_nothing,
                a_large_batch_is_emitted,
                a_repeated_request_gets_the_first_answer,
                an_idempotency_key_is_refused_for_another_request,
                an_idempotency_key_belongs_to_its_app,
                an_emission_in_an_unknown_app_is_an_error,
            }
            fan_out {
                a_put_writes_one_row_for_each_matching_trigger,
                a_kv_trigger_matches_only_its_operations,
                a_claimed_row_has_all_fields_of_its_event_and_trigger,
                a_row_keeps_the_retry_policy_of_its_emission,
                a_disabled_trigger_gets_no_rows,
                rows_of_a_paused_trigger_wait_until_it_resumes,
                rows_of_a_deleted_trigger_have_no_handler,
                rows_of_a_deleted_trigger_do_not_move_to_its_successor,
                an_event_matches_only_triggers_of_its_app,
                cron_and_http_triggers_match_no_emitted_event,
            }
            fence {
                a_claim_is_fenced_after_another_claim_of_the_row,
                a_claim_of_a_deleted_row_is_fenced,
                a_released_claim_is_fenced,
                a_claim_that_was_never_made_is_fenced,
                a_stale_claim_of_a_dead_letter_handler_is_fenced,
                a_settlement_sent_twice_is_applied_once,
                a_handler_settlement_sent_twice_is_applied_once,
                a_fenced_settlement_does_not_affect_the_others,
                an_expired_claim_is_valid_until_it_is_ended,
                a_renewal_extends_the_lease,
                a_renewal_changes_only_the_end_of_the_lease,
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
                a_new_limit_counts_rows_that_were_claimed_inline,
                rows_of_one_lane_claimed_inline_have_one_number,
                the_rows_of_a_lost_inline_claim_become_suspects,
                every_emission_returns_its_inline_claim_guard,
                a_dropped_caller_does_not_lose_an_inline_claim,
            }
            kv {
                a_value_reads_back_with_its_version_and_time,
                a_value_is_kept_byte_for_byte,
                a_guard_for_an_absent_key_holds_once,
                a_guard_for_a_version_holds_only_for_that_version,
                a_guarded_delete_deletes_only_that_version,
                a_failed_guard_emits_nothing,
                a_delete_of_an_absent_key_emits_nothing,
                versions_of_a_key_grow_across_a_delete,
                the_answer_of_a_mutation_equals_its_event,
                the_event_of_a_mutation_carries_its_cause,
                a_list_by_prefix_and_page_is_in_byte_order,
                a_cursor_may_be_a_missing_key,
                kv_calls_of_an_unknown_app_are_an_error,
            }
            lane_claims {
                rows_of_one_lane_claimed_together_have_one_number,
                a_renewal_of_one_row_extends_the_whole_claim,
                a_renewal_extends_the_rest_of_a_claim,
                a_settled_row_leaves_the_others_in_the_claim,
                a_released_row_can_be_claimed_while_its_old_claim_holds_others,
                a_row_released_many_times_has_one_valid_claim,
                lists_show_the_attempts_that_claims_counted,
            }
            lanes {
                an_empty_outbox_has_no_lanes,
                lanes_are_discovered_with_their_next_due_time_and_limit,
                a_lane_with_all_rows_leased_is_not_discovered,
                a_lane_with_an_expired_claim_is_discovered_apart,
                a_lane_is_discovered_with_its_future_due_time,
                a_lane_has_the_current_limit_of_its_trigger,
                no_more_rows_than_the_limit_are_leased_at_once,
                a_changed_limit_counts_the_leased_rows,
                a_new_limit_counts_rows_that_were_claimed_without_it,
                an_expired_lease_frees_its_slot,
                a_renewed_lease_keeps_its_slot,
                an_expired_lease_of_a_limited_lane_is_not_renewed,
                an_expired_lease_is_renewed_while_the_lane_has_no_limit,
                a_pause_does_not_affect_leased_rows,
                each_row_that_leaves_a_claim_frees_one_slot,
                an_expired_claim_has_no_slots,
            }
            ledgers {
                a_loop_is_one_entry_per_trigger_and_root,
                an_abandoned_execution_is_listed_with_its_cause,
            }
            losses {
                the_rows_of_an_expired_claim_become_suspects,
                a_loss_is_recorded_and_counts_no_attempt,
                a_loss_beyond_the_limit_counts_nothing,
                rows_that_were_held_ahead_are_not_lost,
                suspects_that_were_held_ahead_are_claimed_together,
                suspects_with_fewer_losses_come_first,
                a_row_that_permits_one_loss_is_lost_even_if_it_was_held_ahead,
                suspects_that_were_held_ahead_take_slots_of_their_lane,
                a_suspect_stays_a_suspect,
                a_suspect_is_due_after_its_back_off,
                only_the_rows_that_an_expired_claim_still_holds_are_lost,
                a_live_claim_is_not_ended,
                a_paused_trigger_gives_no_suspects,
                a_suspect_takes_a_slot_of_its_lane,
                all_expired_claims_of_a_lane_are_ended_at_once,
                one_exchange_settles_a_suspect_and_claims_the_next,
                a_redriven_delivery_is_no_suspect,
            }
            matching {
                app_events_match_as_in_the_core,
                kv_events_match_as_in_the_core,
                dead_letters_match_as_in_the_core,
            }
            pages {
                a_page_of_values_ends_at_its_bytes,
                a_page_of_deliveries_ends_at_its_bytes,
                a_page_of_dead_letters_ends_at_its_bytes,
            }
            principals {
                a_principal_is_created_once,
                a_password_is_stored_as_a_hash,
                a_new_password_ends_the_sessions_of_its_principal,
                roles_are_granted_changed_and_revoked,
                a_valid_token_identifies_its_principal,
                a_claim_returns_the_standing_of_the_registrant,
                a_call_without_permission_is_refused,
            }
            redrive {
                a_redriven_delivery_equals_the_dead_one,
                a_redriven_delivery_that_dies_again_links_to_its_old_letter,
                a_letter_is_redriven_once,
                a_batch_continues_after_the_last_one,
                letters_are_selected_by_every_filter,
                letters_of_a_deleted_trigger_are_skipped,
                letters_of_a_deleted_trigger_go_to_the_trigger_of_its_name,
                letters_of_another_app_are_not_selected,
                a_manual_resolution_is_kept_when_the_handler_ends,
                a_letter_keeps_the_failure_of_its_handler,
            }
            retention {
                old_letters_are_removed_by_their_resolution,
                old_ledger_entries_are_removed,
                expired_sessions_are_removed_and_no_other_token,
            }
            scripts {
                a_script_reads_back_byte_for_byte,
                scripts_are_listed_by_name,
                an_unchanged_script_keeps_its_version,
                versions_of_a_script_grow_across_a_delete,
                a_script_name_belongs_to_its_app,
                scripts_of_an_unknown_app_are_an_error,
            }
            settle {
                done_deletes_the_row,
                a_retry_is_due_after_its_delay_and_keeps_its_history,
                a_retry_without_delay_is_claimed_in_the_same_exchange,
                the_history_holds_every_attempt_in_order,
                every_error_class_reads_back,
                dead_moves_the_row_to_the_dead_letters,
                dead_after_a_loss_keeps_its_record,
                dead_without_any_attempt_has_no_history,
                a_letter_of_a_deleted_trigger_keeps_its_name,
                dead_can_disable_its_trigger,
                dropped_deletes_the_row_and_makes_no_letter,
                a_loop_is_dropped_every_time,
                deferred_does_not_count_the_attempt,
                deferred_changes_only_the_number_of_the_claim,
                abandoned_deletes_the_row_and_makes_no_letter,
                one_exchange_settles_the_last_batch_and_claims_the_next,
                one_exchange_applies_every_kind_of_verdict,
            }
            triggers {
                every_kind_of_trigger_reads_back_with_all_fields,
                triggers_are_listed_by_name,
                an_unchanged_trigger_keeps_its_version_and_registrant,
                each_change_of_a_trigger_makes_a_new_version,
                a_pause_does_not_change_the_trigger_version,
                a_deleted_trigger_frees_its_name,
                a_trigger_name_belongs_to_its_app,
                triggers_of_an_unknown_app_are_an_error,
            }
        }
    };
}

macro_rules! declare {
    (() $($theme:ident { $($case:ident,)* })*) => {
        /// The cases by theme. Tests use [`conformance!`](crate::conformance), which calls each
        /// case.
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

/// Makes one test of every case. The argument is an expression for a new [`World`](crate::World)
/// with an empty store. The expression may `await`, and may use the names of the module that calls
/// the macro.
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
