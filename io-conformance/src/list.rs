//! The one list of all cases. A case that is written and not listed here is dead code, and the compiler says so.

/// Hands the list to the macro `callback`, after `args`.
#[doc(hidden)]
#[macro_export]
macro_rules! with_cases {
    ([$($callback:tt)+] ($($args:tt)*)) => {
        $($callback)+! {
            ($($args)*)
            claim {
                a_lane_is_claimed_in_the_order_of_due_time_and_id,
            }
            fan_out {
                a_put_makes_one_row_for_each_matching_trigger,
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
