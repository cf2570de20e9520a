"""Which test tries which attack of the public lists on the portal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.http import test_cookies
from tests.portal import (
    test_attacks,
    test_entrance,
    test_flow,
    test_portal,
    test_refresh,
    test_returning,
    test_signout,
    test_state,
)

Tests = dict[str, Callable[..., Any]]

ATTACKS: Tests = {
    "flow-state-replay": test_flow.test_a_callback_works_once,
    "flow-state-other-browser": test_flow.test_a_callback_in_another_browser_signs_nobody_in,
    "flow-state-parallel": test_flow.test_tabs_that_sign_in_at_once_all_succeed,
    "flow-state-flood": test_flow.test_sign_ins_that_strangers_begin_fill_neither_store_nor_browser,
    "flow-state-rd": test_flow.test_a_wish_that_was_changed_is_refused,
    "flow-pkce-missing": test_flow.test_verifiers_and_nonces_are_fresh_each_time,
    "flow-code-reuse": test_flow.test_a_callback_works_once,
    "flow-code-injection": test_flow.test_the_code_of_somebody_else_is_refused,
    "flow-mixup-iss": test_flow.test_an_answer_of_another_provider_is_refused,
    "flow-mixup-iss-missing": test_flow.test_an_answer_of_another_provider_is_refused,
    "flow-dup-params": test_flow.test_a_parameter_that_is_there_twice_is_refused,
    "flow-response-mode": test_flow.test_a_provider_answers_with_get_alone,
    "flow-prompt-none": test_flow.test_a_provider_that_says_no_is_told_about,
    "flow-refresh-rotation": test_refresh.test_of_many_workers_one_asks,
    "flow-refresh-revoked": test_refresh.test_a_session_that_its_provider_has_ended_ends,
    "flow-redirect-loop": test_entrance.test_a_browser_that_keeps_no_session_is_stopped,
    "flow-callback-method": test_flow.test_a_provider_answers_with_get_alone,
    "flow-rd-header": test_entrance.test_a_link_to_sign_in_leads_nowhere_else,
    "ses-cookie-flags": test_cookies.test_a_cookie_is_for_one_host_and_no_script,
    "ses-dup-cookie": test_cookies.test_two_handles_are_none,
    "ses-jar-overflow": test_cookies.test_a_crowded_jar_holds_no_handle_and_does_no_harm,
    "ses-forged": test_portal.test_a_handle_with_a_changed_character_is_none,
    "ses-replay-logout": test_signout.test_a_person_signs_out_of_every_host_at_once,
    "ses-logout-csrf": test_signout.test_a_link_signs_nobody_out,
    "ses-frontchannel-logout": test_attacks.test_a_provider_signs_nobody_out_in_a_frame,
    "ses-idle": test_attacks.test_a_session_ends_by_itself,
    "ses-oversize": test_attacks.test_claims_of_any_size_are_no_cookie,
    "ses-clock": test_attacks.test_a_clock_that_jumps_makes_no_session_last,
    "ses-percent-prefix": test_cookies.test_what_is_not_our_handle_to_the_letter_is_none,
}

ADVISORIES: Tests = {
    "CVE-2020-11053": test_returning.test_an_address_that_is_not_ours_in_every_reading_is_refused,
    "CVE-2020-4037": test_returning.test_an_address_that_is_not_ours_in_every_reading_is_refused,
    "CVE-2021-29652": test_flow.test_a_wish_that_was_changed_is_refused,
    "CVE-2024-39315": test_portal.test_pages_hold_neither_handle_nor_token,
    "GHSA-2922b94e-hpke": test_attacks.test_a_parameter_does_not_grow,
    "CVE-2023-27496": test_flow.test_a_callback_without_a_sign_in_of_ours_is_refused,
    "CVE-2024-21492": test_signout.test_a_person_signs_out_of_every_host_at_once,
    "CVE-2024-21495": test_state.test_secrets_have_256_bits_and_do_not_repeat,
    "CVE-2024-21497": test_flow.test_nobody_is_sent_elsewhere,
    "CVE-2021-29456": test_flow.test_nobody_is_sent_elsewhere,
    "CVE-2021-32786": test_attacks.test_signing_out_leads_nowhere_else,
}
