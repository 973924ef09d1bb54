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
#
# Where the folder has a file `cgroups`, what runs in those cgroups, one a line, ends too, and they are
# removed. So a new guard, given no input, also ends what a guard that was killed has left.
set -m # each background job leads a process group

folder=$1

# Of a guard before us, if that was killed.
before=$(cat -- "$folder/group" 2>/dev/null)
# Keeps the group's id taken while no server runs.
sleep infinity >/dev/null 2>&1 &
group=$!
echo "$group" >"$folder/group"

# Processes take a moment to die, and until then a cgroup stays.
empty() {
  [ -e "$folder/cgroups" ] || return 0
  local cgroup try
  while read -r cgroup; do
    for ((try = 0; try < 600; try++)); do
      [ -d "$cgroup" ] || break
      find "$cgroup" -name cgroup.procs -exec cat {} + | grep -vx 0 | xargs -r kill -KILL
      find "$cgroup" -depth -type d -exec rmdir {} +
      [ -d "$cgroup" ] && sleep 0.05
    done
    [ -d "$cgroup" ] && return 1
  done <"$folder/cgroups"
  return 0
}

stop() {
  exec >/dev/null 2>&1
  kill -KILL -- "-$group"
  # That id may be somebody else's by now.
  [ -n "$before" ] && [ "$(tr '\0' ' ' <"/proc/$before/cmdline")" = "sleep infinity " ] &&
    kill -KILL -- "-$before"
  # The folder says what is left, as long as something is.
  empty || exit 1
  # What a dying process still writes can make the first try fail.
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf --one-file-system -- "$folder" && break
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
