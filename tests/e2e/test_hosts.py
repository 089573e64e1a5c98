# SPDX-License-Identifier: Apache-2.0
"""The hosts of the fault tests: cut lines and weather are what they say they are, and nothing is
left of them."""
import os

import statistics

from harness.hosts import NAMESPACES, Network, remove_stale
from harness.switch import Weather
from harness.waiting import wait_for


def test_hosts_hear_one_another_or_not(bench, new_network):
    network = new_network(["a", "b"])
    listener = [*network["b"].prefix, "/usr/bin/python3", "-c", LISTENER, network["b"].address]
    heard = bench.spawn(listener, "listener")
    wait_for("b listens", lambda: "ready" in heard.log())

    def say(word):
        """a says it to b over UDP: nothing comes back, so only the way there counts."""
        argv = [*network["a"].prefix, "/usr/bin/python3", "-c", SPEAKER, network["b"].address, word]
        bench.run(argv)

    say("before")
    wait_for("b hears a", lambda: "before" in heard.log())
    network.drop([("b", "a")])
    say("other-direction")
    wait_for("b hears a, which does not hear b", lambda: "other-direction" in heard.log())
    network.drop([("a", "b")])
    say("dropped")
    network.split(["a"], ["b"])
    say("dropped")
    network.heal()
    say("after")
    wait_for("b hears a again", lambda: "after" in heard.log())
    assert "dropped" not in heard.log()
    heard.terminate()


LISTENER = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 9))
print("ready", flush=True)
while True:
    print(sock.recv(100).decode(), flush=True)
"""
SPEAKER = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.sendto(sys.argv[2].encode(), (sys.argv[1], 9))
"""


def test_weather_between_hosts(bench, new_network):
    """200 numbered packets each way, with the time of their departure. Both ways have their own
    weather; packets of two connections overtake one another, those of one do not."""
    network = new_network(["a", "b"], weather=True)
    network.set_weather({("a", "b"): Weather(40, 40), ("b", "a"): Weather(loss=0.3)})
    talks = [
        bench.spawn(
            [*network[me].prefix, "/usr/bin/python3", "-c", TALKER, network[other].address], me
        )
        for me, other in (("a", "b"), ("b", "a"))
    ]
    for talk in talks:
        assert talk.wait() == 0
    at_a, at_b = ([line.split() for line in talk.log().splitlines()] for talk in talks)
    late = [float(ms) for _, _, ms in at_b]
    assert len(late) == 200 and min(late) >= 40
    assert statistics.median(late) < 300
    order = {flow: [int(number) for f, number, _ in at_b if f == flow] for flow in "01"}
    assert order["0"] == sorted(order["0"]) and order["1"] == sorted(order["1"])
    everything = [int(number) for _, number, _ in at_b]
    assert everything != sorted(everything)
    assert 100 < len(at_a) < 180
    assert min(float(ms) for _, _, ms in at_a) < 30


TALKER = """
import socket, sys, threading, time
socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
for flow, sock in enumerate(socks):
    sock.bind(("", 1000 + flow))
    sock.settimeout(1.5)
lock = threading.Lock()
def listen(flow):
    try:
        while True:
            number, sent = socks[flow].recv(100).split()
            late = (time.monotonic() - float(sent)) * 1000
            with lock:
                print(flow, int(number), late, flush=True)
    except TimeoutError:
        pass
threads = [threading.Thread(target=listen, args=(flow,)) for flow in range(2)]
for thread in threads:
    thread.start()
for number in range(200):
    flow = number % 2
    socks[flow].sendto(b"%d %f" % (number, time.monotonic()), (sys.argv[1], 1000 + flow))
    time.sleep(0.003)
for thread in threads:
    thread.join()
"""


def test_hosts_are_removed_and_the_thread_is_back():
    places = [os.readlink("/proc/thread-self/ns/net")]
    network = Network(["a"])
    names = list(NAMESPACES.glob(f"{network.prefix}-*"))
    places.append(os.readlink("/proc/thread-self/ns/net"))
    network.close()
    places.append(os.readlink("/proc/thread-self/ns/net"))
    assert places[0] == places[2] != places[1]
    assert len(names) == 3, "the switch, the eye and a"
    assert list(NAMESPACES.glob(f"{network.prefix}-*")) == []


def test_namespaces_of_a_crashed_run_are_removed(bench):
    ended = bench.spawn(["true"], "true")
    ended.wait()
    name = f"zkfs-e2e-{ended.pid}-abcdef-s1"
    bench.run(["ip", "netns", "add", name])
    left = bench.spawn(["ip", "netns", "exec", name, "sleep", "1000"], "left")
    wait_for("it runs there", lambda: str(left.pid) in bench.sh(f"ip netns pids {name}").split())
    left.killed_by_test = True
    remove_stale()
    assert not (NAMESPACES / name).exists()
    left.wait()
