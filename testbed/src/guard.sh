#!/usr/bin/env bash
# The guard of one testbed folder: ends a process group and removes the folder
# when its owner dies, however it dies.
#
# Standard input is a pipe that only the owner holds: the kernel closes it with
# the owner, also after SIGKILL. The guard is in a process group of its own, so
# that Ctrl-C and a killed group leave it to do its work.
#
#   $1      the folder
#   prints  the id of the process group that the servers have to join
#   reads   "keep": leave all running until the guard itself gets SIGTERM
set -m # each background job leads a process group

folder=$1

# Keeps the group's id taken while no server runs.
sleep infinity >/dev/null 2>&1 &
group=$!

stop() {
  kill -KILL -- "-$group" 2>/dev/null
  # What a dying process still writes can make the first try fail.
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf -- "$folder" 2>/dev/null && break
    sleep 0.1
  done
  exit 0
}
trap stop TERM
trap '' INT HUP

echo "$group"
exec >/dev/null 2>&1

read -r order || stop
[ "$order" = keep ] || stop
while :; do wait "$group"; done
