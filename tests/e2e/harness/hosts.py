# SPDX-License-Identifier: Apache-2.0
"""Hosts of their own for servers and clients: a network namespace each, joined by a bridge that
also has one to itself. The machine's own network is not touched, and what a run that crashed has
left is removed by the next one.

    eye ----+             each host: lo, eth0 = 10.73.0.N/24,
    s1  ----+-- bridge    and a packet filter that drops what comes from the hosts in `deaf_to`
    c1  ----+

With weather the bridge is a program (harness/switch.py) that also delays, loses and reorders.
Packets of a line that is cut are dropped where they arrive, so a cut can have one direction: the sender
sees nothing but silence, as it would with a cable that broke."""
import itertools
import os
import re
import secrets
import subprocess
from pathlib import Path

from .namespaces import NAMESPACES, enter
from .switch import DEVICE, Switch, mac_of

PREFIX = "zkfs-e2e"
STALE = re.compile(rf"^{PREFIX}-(\d+)-")

FILTER = """
table inet faults {
    set deaf_to { type ipv4_addr; }
    chain arriving {
        type filter hook input priority 0; policy accept;
        ip saddr @deaf_to drop
    }
}
"""


def _run(argv, text=None):
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{argv} ended with {done.returncode}: {done.stderr}\n{text}")
    return done.stdout


def _remove(name):
    """Ends what still runs in a namespace, and removes it with its devices."""
    for pid in _run(["ip", "netns", "pids", name]).split():
        try:
            os.kill(int(pid), 9)
        except ProcessLookupError:
            pass
    _run(["ip", "netns", "delete", name])


def _is_alive(pid):
    return Path(f"/proc/{pid}").exists()


def remove_stale():
    """Removes the namespaces of test runs that have not come to their end."""
    for entry in NAMESPACES.glob(f"{PREFIX}-*"):
        made_by = STALE.match(entry.name)
        if made_by and not _is_alive(made_by[1]):
            _remove(entry.name)


class NetHost:
    """One host. Has what servers.Host has."""

    def __init__(self, name, namespace, address):
        self.name, self.namespace, self.address = name, namespace, address
        # Not `ip netns exec`: that hides mounts from everybody else.
        self.prefix = ("nsenter", f"--net={NAMESPACES / namespace}")
        self.deaf_to = set()  # addresses

    def filter(self, script):
        _run([*self.prefix, "nft", "-f", "-"], script)


class Network:
    """names: of the hosts. The calling thread sits on a host of its own, which no fault reaches,
    until close(). weather: a seed, for hosts that set_weather() shall reach."""

    EYE = "eye"

    def __init__(self, names, weather=None):
        remove_stale()
        self.prefix = f"{PREFIX}-{os.getpid()}-{secrets.token_hex(3)}"
        self.hosts = {}
        self._switch = None  # a process, with weather
        self._home = open("/proc/thread-self/ns/net", "rb")
        try:
            self._build([self.EYE, *names], weather)
            with open(NAMESPACES / self.hosts[self.EYE].namespace, "rb") as eye:
                enter(eye)
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name):
        return self.hosts[name]

    def _build(self, names, weather):
        for number, name in enumerate(names, 1):
            host = NetHost(name, f"{self.prefix}-{name}", f"10.73.0.{number}")
            self.hosts[name] = host
            _run(["ip", "netns", "add", host.namespace])
        if weather is None:
            self._build_bridge()
        else:
            namespaces = {name: host.namespace for name, host in self.hosts.items()}
            self._switch = Switch(namespaces, weather)
        for number, host in enumerate(self.hosts.values(), 1):
            script = [
                "link set lo up",
                f"address add {host.address}/24 dev {DEVICE}",
                f"link set {DEVICE} address {mac_of(number)} up",
            ]
            _run(["ip", "-netns", host.namespace, "-batch", "-"], "\n".join(script))
            host.filter(FILTER)

    def _build_bridge(self):
        switch = f"{self.prefix}-switch"
        _run(["ip", "netns", "add", switch])
        links = [
            f"link add port{number} netns {switch} type veth"
            f" peer name {DEVICE} netns {host.namespace}"
            for number, host in enumerate(self.hosts.values(), 1)
        ]
        _run(["ip", "-batch", "-"], "\n".join(links))
        numbers = range(1, len(self.hosts) + 1)
        script = ["link add bridge type bridge", "link set bridge up"]
        script += [f"link set port{number} master bridge up" for number in numbers]
        _run(["ip", "-netns", switch, "-batch", "-"], "\n".join(script))

    # ---- faults ---------------------------------------------------------------------------------

    def drop(self, ways):
        """ways: (source, target) pairs of host names: nothing that source sends reaches target."""
        self._set_faults(ways)

    def split(self, *groups):
        """Hosts of different groups do not hear one another; who is in no group hears all."""
        self._set_faults(
            (source, target)
            for one, other in itertools.permutations(groups, 2)
            for source in one
            for target in other
        )

    def set_weather(self, ways):
        """ways: (source, target) -> Weather of that direction; all others are calm."""
        self._switch.set_weather(ways)

    def join(self):
        """No line is cut any more; the weather stays."""
        self._set_faults([])

    def heal(self):
        self.join()
        if self._switch:
            self.set_weather({})

    def _set_faults(self, dropped):
        """From now on exactly these ways, (source, target), are cut."""
        wanted = {name: set() for name in self.hosts}
        for source, target in dropped:
            wanted[target].add(self.hosts[source].address)
        for name, addresses in wanted.items():
            host = self.hosts[name]
            if addresses != host.deaf_to:
                script = "flush set inet faults deaf_to\n"
                if addresses:
                    elements = ", ".join(sorted(addresses))
                    script += f"add element inet faults deaf_to {{ {elements} }}\n"
                host.filter(script)
                host.deaf_to = addresses

    # ---- the end --------------------------------------------------------------------------------

    def close(self):
        """Takes the thread back to where it came from and removes everything."""
        with self._home:
            enter(self._home)
        if self._switch:
            self._switch.close()
        for entry in NAMESPACES.glob(f"{self.prefix}-*"):
            _remove(entry.name)
