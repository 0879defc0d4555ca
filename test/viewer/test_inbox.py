# SPDX-License-Identifier: Apache-2.0
"""What waits for the next frame."""

import threading

from humanoid_mujoco_ros.viewer.inbox import ActionInbox, Faults


def test_actions_are_done_in_order_and_once():
    inbox, done = ActionInbox(Faults()), []
    for name in "abc":
        inbox.post(name, lambda name=name: done.append(name))
    inbox.run()
    inbox.run()
    assert done == ["a", "b", "c"]


def test_of_equal_requests_the_last_counts():
    inbox, done = ActionInbox(Faults()), []
    for i in range(100_000):
        inbox.post("move", lambda i=i: done.append(i))
        if i == 10:
            inbox.post("end", lambda: done.append("end"))
    inbox.run()
    assert done == ["end", 99_999]


def test_an_action_that_fails_is_counted_and_stops_no_other():
    faults, done = Faults(), []
    inbox = ActionInbox(faults)
    inbox.post("a", lambda: {}["bogus"])
    inbox.post("b", lambda: done.append("b"))
    inbox.run()
    assert done == ["b"]
    assert faults.take() == (1, "KeyError: 'bogus'")
    assert faults.take() == (0, None)


def test_an_action_may_post_another_for_the_next_frame():
    inbox, done = ActionInbox(Faults()), []
    inbox.post("a", lambda: inbox.post("a", lambda: done.append("next")))
    inbox.run()
    assert done == []
    inbox.run()
    assert done == ["next"]


def test_faults_are_counted_from_many_threads():
    faults = Faults()
    threads = [
        threading.Thread(target=lambda: [faults.add("x") for _ in range(1000)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults.take() == (8000, "x")
