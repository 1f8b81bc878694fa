#!/usr/bin/env python3
"""Reduces the truth that came with the evidence to what the tests ask: make-truth.py CORPUS

Reads CORPUS/checkpoints/truth/NAME.json (taken from the running system, see README.md) and writes truth/NAME.json beside this
script. `facts` is put together from the engine's own inspect output and the archive's list of members, never from our output.
"""

import json
import pathlib
import re
import sys

ARCHIVES = {
    "counter": ("Podman", "counter.tar.zst"),
    "counter-gz": ("Podman", "counter.tar.gz"),
    "counter-later": ("Podman", "counter-later.tar.xz"),
    "counter-runc": ("Podman", "counter-runc.tar.zst"),
    "counter-crio": ("CRI-O", "counter-crio.tar.xz"),
    "counter-containerd": ("containerd", "counter-containerd.tar.xz"),
    "containerd-ctr": ("containerd (ctr)", "containerd-ctr.oci.tar.xz"),
    "counter-docker": ("Docker", "counter-docker-dir.tar.xz"),
    "checkpoint-image": ("Podman", "checkpoint-image.oci.tar.zst"),
    "redis": ("Podman", "redis.tar.zst"),
    "tiny": ("Podman", "tiny.tar"),
    "tiny-criu": ("CRIU", "tiny-criu.tar"),
    "tiny-criu-noshare": ("CRIU", "tiny-criu-noshare.tar"),
    "pre-final": ("Podman", "pre-final.tar.zst"),
    "pre-whole": ("Podman", "pre-whole.tar.zst"),
}


def podman(it):
    net = it["NetworkSettings"]
    return {
        "container_name": it["Name"], "image": it["ImageName"], "id": it["Id"], "image_id": it["Image"],
        "runtime": it["OCIRuntime"], "created": it["Created"], "host_name": it["Config"]["Hostname"],
        "ip": net["IPAddress"] or None, "mac": net["MacAddress"] or None, "gateway": net["Gateway"] or None,
    }


def docker(it):
    net = it["NetworkSettings"]
    return {
        "container_name": it["Name"].lstrip("/"), "image": it["Config"]["Image"], "id": it["Id"],
        "image_id": it["Image"], "runtime": it["HostConfig"]["Runtime"], "created": it["Created"],
        "started": it["State"]["StartedAt"], "host_name": it["Config"]["Hostname"],
        "ip": net["IPAddress"], "mac": net["MacAddress"], "gateway": net["Gateway"],
    }


def kubernetes(truth):
    """What CRI-O and containerd have in common: the kubelet's words."""
    it = truth["engine_inspect"]
    labels = it["status"]["labels"]
    return {
        "container_name": labels["io.kubernetes.container.name"], "pod_name": labels["io.kubernetes.pod.name"],
        "kubernetes_namespace": labels["io.kubernetes.pod.namespace"], "id": it["status"]["id"],
        "pod_uid": "5f1c0de0-8088-4c0d-9e1a-202311223344", "image": it["status"]["image"]["image"],
        "host_name": "counters",
        "checkpointed": re.search(r"\d{4}-\d\d-\d\dT[\d:]+Z", truth["kubelet_style_name"])[0],
    }


def crio(truth):
    notes = truth["engine_inspect"]["info"]["runtimeSpec"]["annotations"]
    return kubernetes(truth) | {
        "runtime": "runc", "created": truth["engine_inspect"]["status"]["createdAt"], "ip": notes["io.kubernetes.cri-o.IP.0"],
        "image_id": notes["io.kubernetes.cri-o.ImageRef"], "sandbox_id": notes["io.kubernetes.cri-o.SandboxID"],
    }


def containerd(truth):
    it = truth["engine_inspect"]
    notes = it["info"]["runtimeSpec"]["annotations"]
    return kubernetes(truth) | {
        "runtime": it["info"]["runtimeType"], "created": it["status"]["createdAt"][:19],
        "started": it["status"]["startedAt"], "sandbox_id": notes["io.kubernetes.cri.sandbox-id"],
    }


def facts(engine, truth):
    it = truth.get("engine_inspect")
    known = {"engine": engine}
    if engine == "Podman":
        known |= podman(it)
    elif engine == "Docker":
        known |= docker(it)
    elif engine == "CRI-O":
        known |= crio(truth)
    elif engine == "containerd":
        known |= containerd(truth)
    elif engine == "containerd (ctr)":
        # ctr gives a container no host name: it keeps the machine's, `vm`, as the logs of CRIU's other dumps there tell.
        known |= {"id": it["ID"], "image": it["Image"], "runtime": it["Runtime"]["Name"], "host_name": "vm"}
    members = truth["archive"]["members"]
    under = truth["archive"]["images_under"]
    images = [m for m in members if m["name"].startswith(under) and "size" in m]
    known["images_size"] = sum(m["size"] for m in images)
    known["pages_size"] = sum(m["size"] for m in images if re.search(r"/pages-\d+\.img$", "/" + m["name"]))
    for member in members:
        if member["name"].split("/")[-1] == "rootfs-diff.tar":
            known["rootfs_diff_size"] = member["size"]
    return known


CHANGED = ("path", "type", "mode", "uid", "gid", "size", "sha256", "target", "mtime_ns")
PROCESS = ("pid", "ppid", "comm", "exe", "cmdline", "environ", "cwd", "root", "uid", "gid", "threads", "fds")


def reduced(name):
    engine, archive = ARCHIVES[name]
    truth = json.load(open(CORPUS / "checkpoints" / "truth" / f"{name}.json"))
    place = lambda hit: {"pid": hit["pid"], "address": hit["address"]}
    return {
        "archive": archive,
        "parent_archive": truth.get("parent_archive"),
        "facts": facts(engine, truth),
        "processes": [{key: process.get(key) for key in PROCESS} for process in truth["processes"]],
        "rootfs": [{key: it[key] for key in CHANGED if key in it} for it in truth.get("rootfs_changes") or []],
        "needles": [
            {
                "kind": needle["kind"],
                "text": needle["text"],
                "in_dumped_memory": [place(hit) for hit in needle["in_dumped_memory"]],
                "live_only": [place(hit) for hit in needle.get("live_only") or []],
                "in_members": {hit["member"]: hit["count"] for hit in needle["in_members"]},
            }
            for needle in truth["needles"]
        ],
    }


WORKLOADS = {"kitchen": "kitchen.tar.zst", "criu-features": "criu-features.tar.zst", "hostile": "hostile.tar.zst"}
WORKLOAD_PROCESS = ("pid", "ppid", "comm", "state", "exe", "cwd", "argv", "environ", "pgid_ns", "sid_ns", "exit_code", "uid", "gid")


def lines(path):
    return [json.loads(line) for line in open(path)] if path.exists() else []


def whole(process):
    """/proc's texts were split at zero bytes: of areas without any (hostile's process 9), only the raw command line is left."""
    if process["argv"] == [] and process["cmdline_raw_hex"]:
        return process | {"argv": [{"hex": process["cmdline_raw_hex"]}], "environ": None}
    return process


def stored(hit):
    """A planted text outside the memory of processes: by offset in a shared object, in an image, or in a file of an archive."""
    if hit["kind"] == "shmem":
        return {"name": hit["name"], "encoding": hit["encoding"], "member": hit["image"], "offset": hit["offset_in_object"]}
    keys = {"name": hit["name"], "encoding": hit["encoding"], "member": hit["file"].removeprefix("checkpoint/"), "offset": hit["offset"]}
    return keys | ({"path": hit["member"].removeprefix("./")} if "member" in hit else {})


def workload(name):
    """The workloads' own facts: processes, and where each planted text stands in the images (`memory` hits)."""
    source = CORPUS / "checkpoints"
    facts = lines(source / "truth" / f"{name}.truth.jsonl")
    hits = lines(source / "truth" / f"{name}.hits.jsonl")
    memory = [hit for hit in hits if hit["kind"] == "memory"]
    texts = json.load(open(source / "make" / "workloads" / "needles.json"))
    keys = ("name", "pid", "addr", "encoding", "file", "offset", "straddles_page", "via")
    return {
        "archive": WORKLOADS[name],
        "processes": [
            {key: whole(it).get(key) for key in WORKLOAD_PROCESS} for it in facts if it["kind"] == "proc" and it["src"] == "proc"
        ],
        "threads": [
            {key: it[key] for key in ("pid", "tid", "comm")} for it in facts if it["kind"] == "thread" and it["src"] == "proc"
        ],
        "rootfs": [{key: it[key] for key in CHANGED if key in it} for it in facts if it["kind"] == "rootfs"],
        "needles": texts if memory else {},
        "hits": [{key: hit[key] for key in keys if key in hit} for hit in memory],
        "stored": [stored(hit) for hit in hits if hit["kind"] in ("shmem", "file")],
        "registers": [{key: it[key] for key in ("pid", "tid", "name", "register")} for it in facts if it["kind"] == "register" and "needle" in it],
    }


def pages(name, directory=""):
    """`pid address sha256[:16]` of each page of a process, `object` lines of shared objects, `absent` ranges by reason."""
    truth = CORPUS / "checkpoints" / "generations" / "truth"
    stem = f"{name}.{directory}" if directory else name
    rows = [line.rstrip("\n").split("\t") for line in open(truth / f"{stem}.pages.tsv")]
    for row in rows:
        if row[0].startswith("object"):
            yield f"object\t{row[-2]}"
        elif row[0] != "pid":
            yield "\t".join(row[:3])
    for row in [line.rstrip("\n").split("\t") for line in open(truth / f"{stem}.absent.tsv")][1:]:
        yield "\t".join(["absent", row[0], row[1], row[2], row[4]])


CORPUS = pathlib.Path(sys.argv[1])
HERE = pathlib.Path(__file__).parent
for name in ARCHIVES:
    with open(HERE / "truth" / f"{name}.json", "w") as out:
        json.dump(reduced(name), out, indent=1)
        out.write("\n")
for name in WORKLOADS:
    with open(HERE / "truth" / f"{name}.json", "w") as out:
        json.dump(workload(name), out, indent=None, separators=(",", ":"))
        out.write("\n")
for name, directory in (("criu317-mix", ""), ("criu317-chain", "chain-3"), ("criu317-chain", "chain-3-full")):
    with open(HERE / "truth" / ".".join(filter(None, (name, directory, "pages.tsv"))), "w") as out:
        out.writelines(line + "\n" for line in pages(name, directory))
