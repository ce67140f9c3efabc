"""What others see of a running Spark: its processes, where it listens, and whom it answers."""

import ipaddress
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyspark import SparkContext

# What the suite's own Spark has set, and a person has not.
STARTED_WITH = {
    "PYSPARK_SUBMIT_ARGS",
    "SPARK_LOCAL_IP",
    "PYSPARK_GATEWAY_PORT",
    "PYTHONUNBUFFERED",
}


def as_a_person(**more: str) -> dict[str, str]:
    """The environment of a program that is started outside the suite."""
    return {key: os.environ[key] for key in os.environ.keys() - STARTED_WITH} | more


def family(pid: int) -> set[int]:
    """A process and all that descend from it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
        except OSError:
            continue  # it has ended meanwhile
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def marked(mark: str) -> dict[int, str]:
    """The processes, by their command lines, whose environment holds a mark."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # it has ended meanwhile, or is somebody else's
    return found


def wait_until(holds, seconds: float = 60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def sockets_of(pids: set[int]) -> set[str]:
    """The inodes of the sockets that some processes hold open."""
    found = set()
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                kind, _, inode = os.readlink(file).partition(":")
            except OSError:
                continue
            if kind == "socket":
                found.add(inode.strip("[]"))
    return found


def listening(pids: set[int]) -> list[tuple[ipaddress._BaseAddress, int]]:
    """Address and port of each socket on which some processes listen, as the system has them."""
    found, own = [], sockets_of(pids)
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] != "0A" or fields[9] not in own:  # 0A: it listens
                continue
            address, _, port = fields[1].partition(":")
            words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8)]
            ip = ipaddress.ip_address(b"".join(words))
            found.append((getattr(ip, "ipv4_mapped", None) or ip, int(port, 16)))
    return found


def all_answers_to_strangers(
    spark: SparkContext, ports: set[int], milliseconds: int = 1500
) -> set[str]:
    """What some ports speak, asked at once: one that says nothing takes twice so long."""
    with ThreadPoolExecutor(len(ports)) as pool:
        answers = pool.map(lambda port: answers_to_strangers(spark, port, milliseconds), ports)
        return set().union(*answers)


def answers_to_strangers(spark: SparkContext, port: int, milliseconds: int) -> set[str]:
    """Which of Spark's two protocols a port of loopback speaks with who knows no secret.

    `messages`: those of masters, workers and drivers; `blocks`: what executors and drivers fetch
    from each other. Java's own classes of the test's Spark are the stranger.
    """
    jvm = spark._jvm
    spoke = set()
    conf = jvm.org.apache.spark.SparkConf(False)
    for setting in ("spark.rpc.lookupTimeout", "spark.rpc.askTimeout"):
        conf.set(setting, f"{milliseconds}ms")
    security = jvm.org.apache.spark.SecurityManager
    no_key, file_of_secret = (getattr(security, f"$lessinit$greater$default${n}")() for n in (2, 3))
    stranger = jvm.org.apache.spark.rpc.RpcEnv.create(
        "stranger", "127.0.0.1", 0, conf, security(conf, no_key, file_of_secret), True
    )
    try:
        address = jvm.org.apache.spark.rpc.RpcAddress("127.0.0.1", port)
        stranger.setupEndpointRef(address, "endpoint-verifier")  # every such server has this one
        spoke.add("messages")
    except Py4JJavaError:
        pass
    finally:
        stranger.shutdown()
    network = jvm.org.apache.spark.network
    no_settings = network.util.MapConfigProvider(jvm.java.util.HashMap())
    context = network.TransportContext(
        network.util.TransportConf("rpc", no_settings), network.server.NoOpRpcHandler()
    )
    factory = context.createClientFactory()
    try:
        no_blocks = spark._gateway.new_array(jvm.java.lang.String, 0)
        asked = network.shuffle.protocol.OpenBlocks("app", "0", no_blocks).toByteBuffer()
        factory.createClient("127.0.0.1", port).sendRpcSync(asked, milliseconds)
        spoke.add("blocks")
    except Py4JJavaError:
        pass
    finally:
        factory.close()
        context.close()
    return spoke
