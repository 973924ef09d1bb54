#!/usr/bin/env bash
# The first process of a node. It gives the node file systems, cgroups and a network of its own, and
# then takes in processes whose parents have ended. With it the kernel ends all the others.
#
#   $1      the node's folder: of all that the machine has, only this can be written to
#   $2      the node's name
#   $3, $4  its address, and that of a gateway that nobody has
#   prints  "up", or what could not be done
set -euo pipefail
folder=$1 name=$2 address=$3 gateway=$4
data=$folder/data

# Images are layers of an overlay, and those cannot lie on another overlay, as in a container.
mkdir -p "$data"
if [ "$(stat --file-system --format %T "$data")" = overlayfs ]; then
  mount -t tmpfs -o mode=755 tmpfs "$data"
fi
mkdir -p "$data"/{cni,containerd,kubelet,lib,lib-work,log,opt,sysctl,tmp}

mount -t proc proc /proc
# These hold for the whole machine, and the kubelet writes them unless they are as it wants them.
for wanted in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  file=/proc/sys/${wanted%=*} shown=$data/sysctl/$(basename "${wanted%=*}")
  [ -e "$file" ] || continue
  echo "${wanted#*=}" >"$shown"
  mount --bind "$shown" "$file"
done

# With a cgroup namespace, the root of each hierarchy is the node's own cgroup.
mount -t sysfs sysfs /sys
if [ "$(cut -d: -f1,2 /proc/self/cgroup)" = 0: ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  while IFS=: read -r _ controllers _; do
    case $controllers in
      '') place=unified kind=(-t cgroup2) ;;
      name=*) place=${controllers#name=} kind=(-t cgroup -o "none,$controllers") ;;
      *) place=$controllers kind=(-t cgroup -o "$controllers") ;;
    esac
    mkdir "/sys/fs/cgroup/$place"
    mount "${kind[@]}" cgroup "/sys/fs/cgroup/$place"
  done </proc/self/cgroup
fi

# Of the machine's files, nothing can be changed; where servers insist on a place, it is the node's.
mount --rbind "$folder" "$folder"
mount -t overlay -o "lowerdir=/var/lib,upperdir=$data/lib,workdir=$data/lib-work" overlay /var/lib
mount --bind "$data/log" /var/log
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns /var/lib/kubelet
mount --bind "$data/kubelet" /var/lib/kubelet
mount -o remount,bind,ro /
mount --make-rshared /

# No cable leaves the node: its address is that of an empty bridge.
echo "$name" >/proc/sys/kernel/hostname
ip link set lo up
ip link add node0 type bridge
ip address add "$address/24" dev node0
ip link set node0 up
ip route add default via "$gateway" dev node0
echo 1 >/proc/sys/net/ipv4/ip_forward

echo up
while :; do
  sleep infinity &
  wait
done
