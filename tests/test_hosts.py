"""A cluster of several hosts: network namespaces of this machine, joined by a bridge.

No packet leaves them. `ip netns` makes them, which takes root; `.ci/run` insists on this test.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from on_a_cluster import Training, words_of

from cluster.processes import Host
from cluster.standalone import standalone_cluster

pytestmark = pytest.mark.long
# Otherwise a host that is cut off is noticed after two minutes.
NOTICED_SOON = """
spark.executor.heartbeatInterval 1s
spark.network.timeout 8s
spark.network.timeoutInterval 1s
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    """Three hosts, 10.77.0.1 to 10.77.0.3. The bridge is on the first, with a port for each other.

    `ip -n NAME-1 link set port-3 down` cuts off the third.
    """
    name = f"hosts-{os.getpid()}"
    possible = os.getuid() == 0 and shutil.which("ip")
    if not possible and "CI" not in os.environ:
        pytest.skip("network namespaces need root and `ip` (apt install iproute2)")
    names = [f"{name}-{number}" for number in (1, 2, 3)]
    try:
        for host in names:
            ip("netns", "add", host)
            ip("-n", host, "link", "set", "lo", "up")
        first = names[0]
        ip("-n", first, "link", "add", "bridge", "type", "bridge")
        ip("-n", first, "address", "add", "10.77.0.1/24", "dev", "bridge")
        ip("-n", first, "link", "set", "bridge", "up")
        for number, host in enumerate(names[1:], 2):
            port = f"port-{number}"
            other_end = ["peer", "name", "eth0", "netns", host]
            ip("-n", first, "link", "add", port, "type", "veth", *other_end)
            ip("-n", first, "link", "set", port, "master", "bridge", "up")
            ip("-n", host, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")
        yield [
            Host(f"10.77.0.{number}", ("ip", "netns", "exec", host))
            for number, host in enumerate(names, 1)
        ]
    finally:
        for host in names:
            subprocess.run(["ip", "netns", "delete", host], capture_output=True)


def test_a_host_that_is_cut_off_in_an_epoch_changes_no_bit(
    hosts, small_mnist, tmp_path, undisturbed
):
    """For the other strategies see test_cluster.py, which kills executors and workers."""
    words = ["--data", small_mnist, *words_of("partitions")]
    (tmp_path / "cluster").mkdir()
    with standalone_cluster(tmp_path / "cluster", hosts=hosts) as cluster:
        with cluster.properties.open("a") as properties:
            properties.write(NOTICED_SOON)
        with Training(cluster, tmp_path, *words, halts=[3], host=hosts[0]) as training:
            training.until_halted(3)
            ip("-n", hosts[0].entry[-1], "link", "set", "port-3", "down")
            training.open(3)
            parameters = training.end()
    assert "Lost executor" in (tmp_path / "errors.log").read_text()
    assert parameters == undisturbed(*words)
