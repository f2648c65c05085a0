#!/usr/bin/env bash
# Builds a container and tries it as deploy/Containerfile means it: `deploy/try.sh [cpu|gpu]`, with Podman or Docker.
# Needs the network to build, openssl and curl, and some minutes. ENGINE=docker chooses; all that it makes goes at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${1:-cpu}
engine=${ENGINE:-$(command -v podman || command -v docker)} || { echo "neither podman nor docker is here" >&2; exit 2; }
image=reidapp-trial-$target name=reidapp-trial-$$ volume=reidapp-trial-$$ secrets=$(mktemp -d)
port=${PORT:-17860}
trap '"$engine" rm --force "$name" >/dev/null 2>&1 || true
      "$engine" volume rm --force "$volume" >/dev/null 2>&1 || true; rm -rf "$secrets"' EXIT

say() { echo "== $*"; }
# Nothing but /data and /tmp can be written, no rights, no network.
confined=(--read-only --tmpfs /tmp --cap-drop=ALL --security-opt=no-new-privileges --init --volume "$volume:/data")
read -ra gpu <<<"${GPU_OPTIONS:---gpus all}"
[ "$target" = gpu ] && confined+=("${gpu[@]}")
inside() { "$engine" run --rm --interactive --network=none "${confined[@]}" "$image" "$@"; }

say "build $target"
format=(); [[ $engine == *podman ]] && format=(--format docker)
"$engine" build "${format[@]}" --file deploy/Containerfile --target "$target" --tag "$image" .
"$engine" volume create "$volume" >/dev/null

say "what is in it"
inside --version
inside doctor
[ "$("$engine" run --rm --entrypoint id "$image" -u)" = 10001 ]

say "index, search"
inside synth footage footage --cameras 2 --people 3 --seconds 20
inside index footage --gallery gallery --zone UTC
inside gallery verify --gallery gallery
crop=$("$engine" run --rm --network=none "${confined[@]}" --entrypoint find "$image" gallery/crops -name '*.webp' -print -quit)
inside search --gallery gallery --image "$crop" --json >"$secrets/hits.json"
grep --quiet '"rank"' "$secrets/hits.json"
inside users add ann --gallery gallery --role admin <<<"a password for trial only"

say "serve"
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost \
  -keyout "$secrets/key.pem" -out "$secrets/cert.pem" 2>/dev/null
chmod 755 "$secrets"; chmod 644 "$secrets"/*.pem
"$engine" run --detach --name "$name" "${confined[@]}" --publish "127.0.0.1:$port:7860" \
  --volume "$secrets:/run/secrets:ro" "$image" >/dev/null
for _ in $(seq 60); do
  state=$("$engine" inspect --format '{{.State.Health.Status}}' "$name")
  [ "$state" = healthy ] && break
  sleep 2
done
[ "$state" = healthy ] || { "$engine" logs "$name" >&2; echo "not healthy: $state" >&2; exit 1; }
[ "$(curl --silent --insecure "https://127.0.0.1:$port/healthz")" = '{"status":"ok"}' ]
[ "$(curl --silent --insecure --output /dev/null --write-out '%{http_code}' "https://127.0.0.1:$port/api/v1/cameras")" = 401 ]

say "stop"
"$engine" stop --time 90 "$name" >/dev/null
[ "$("$engine" inspect --format '{{.State.ExitCode}}' "$name")" = 130 ]
if "$engine" logs "$name" 2>&1 | grep Traceback; then exit 1; fi
inside gallery verify --gallery gallery
say "all is well"
