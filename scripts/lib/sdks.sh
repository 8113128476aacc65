# Sourced by the scripts that run Stripe's own libraries. They set `name`, which is theirs, and `npm_more`, what they want
# besides stripe-node. It installs the libraries under target/, and says in `python` and `node` which are there.
#
# Exit status of those scripts: 0 all is well, 1 something is not, 2 bad arguments, 3 something could not be installed.

python_stripe='16.1.*'
node_stripe='23.1.0'

usage="usage: scripts/$name [--allow-skip]

  --allow-skip   leave out what cannot be installed, and say so, instead of failing"
allow_skip=false
for argument in "$@"; do
    case $argument in
        --allow-skip) allow_skip=true ;;
        --help | -h) printf '%s\n' "$usage"; exit ;;
        *) printf '%s: there is no argument %q\n%s\n' "$name" "$argument" "$usage" >&2; exit 2 ;;
    esac
done

here=$PWD/scripts/$name.d
target=${CARGO_TARGET_DIR:-$PWD/target}
sdks=$target/sdks
work=$target/$name
mkdir -p "$sdks/node" "$work/home"

# Stripe's libraries leave files in the home folder, and cargo needs the real one.
as_nobody() {
    HOME=$work/home PYTHONDONTWRITEBYTECODE=1 NODE_PATH=$sdks/node/node_modules "$@"
}

skipped=()
# cannot WHAT WHY: the end, or a part left out.
cannot() {
    if ! $allow_skip; then
        printf '%s: cannot install %s: %s\n' "$name" "$1" "$2" >&2
        exit 3
    fi
    skipped+=("$1: $2")
}

# install LOG COMMAND…: runs the command quietly. If it fails, all it said is shown, and its first error is in `why`.
why=
install() {
    local log=$work/$1.log
    shift
    as_nobody "$@" > "$log" 2>&1 && return
    sed 's/^/    /' "$log" >&2
    why=$(grep -i -m 1 error "$log" || tail -n 1 "$log")
    return 1
}

install_python() {
    [ -x "$sdks/venv/bin/pip" ] || install venv python3 -m venv --clear "$sdks/venv" || return 1
    install pip "$sdks/venv/bin/pip" install --quiet --disable-pip-version-check "stripe==$python_stripe"
}

install_node() {
    [ -f "$sdks/node/package.json" ] || echo '{ "private": true }' > "$sdks/node/package.json"
    install npm npm install --prefix "$sdks/node" --ignore-scripts --no-audit --no-fund --no-update-notifier \
        --save-exact "stripe@$node_stripe" "${npm_more[@]}"
}

python=false node=false
if ! command -v python3 > /dev/null; then
    cannot 'stripe-python' 'there is no python3'
elif ! install_python; then
    cannot 'stripe-python' "$why"
else
    python=true
fi
if ! command -v node > /dev/null || ! command -v npm > /dev/null; then
    cannot 'stripe-node' 'there is no node or no npm'
elif ! install_node; then
    cannot 'stripe-node' "$why"
else
    node=true
fi

background=()
trap 'kill "${background[@]}" 2> /dev/null || true' EXIT

# start VARIABLE LINE COMMAND…: runs the command in the background until the script ends, and puts the address that follows
# LINE in its output into the variable.
start() {
    local variable=$1 line=$2 log=$work/$1.txt address=
    shift 2
    : > "$log"
    "$@" > "$log" 2> "$log.err" &
    background+=($!)
    for _ in $(seq 100); do
        address=$(sed -n "s/^$line //p" "$log")
        [ -z "$address" ] || break
        sleep 0.05
    done
    [ -n "$address" ] || { printf '%s: %s did not start\n' "$name" "$1" >&2; cat "$log.err" >&2; exit 1; }
    printf -v "$variable" '%s' "$address"
}

# stop: ends what was started.
stop() {
    kill "${background[@]}"
    wait "${background[@]}" 2> /dev/null || true
    background=()
}

# verdict WORDS: says what was left out and who failed, and ends with the right status.
failed=()
verdict() {
    echo
    if [ ${#skipped[@]} -gt 0 ]; then
        printf 'SKIPPED, as --allow-skip allows: %s\n' "${skipped[@]}"
    fi
    if [ ${#failed[@]} -gt 0 ]; then
        printf 'failed: %s\n' "${failed[@]}" >&2
        exit 1
    fi
    if $python && $node; then echo "All $1."; else echo "All that ran $1."; fi
}
