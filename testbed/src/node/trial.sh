#!/usr/bin/env bash
# Tries what a node needs of the kernel, in namespaces that end with it. What it prints last is what
# could not be done.
#
#   $1  iptables
set -euo pipefail
iptables=$1
trap 'echo "$what" >&2' ERR

what="the kernel mounts no proc file system"
mount -t proc proc /proc
what="the kernel mounts no tmpfs"
mount -t tmpfs tmpfs /run
what="the kernel has no overlay file system"
mkdir /run/{lower,upper,work,all}
mount -t overlay -o lowerdir=/run/lower,upperdir=/run/upper,workdir=/run/work overlay /run/all
what="the kernel has no network bridges"
ip link add node0 type bridge
what="the kernel has no veth network devices"
ip link add one type veth peer name two
what="the kernel lacks netfilter matches that kube-proxy needs (nf_tables with the xt_ modules)"
"$iptables" -t nat -N trial
"$iptables" -t nat -A trial -m comment --comment trial -m addrtype --dst-type LOCAL \
  -m statistic --mode random --probability 0.5 -j MARK --or-mark 0x4000
"$iptables" -t nat -A trial -m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully
"$iptables" -t filter -N trial
"$iptables" -t filter -A trial -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
