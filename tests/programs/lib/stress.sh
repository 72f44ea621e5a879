# What the stress_* scripts share: stress-ng's stressors one after the other, each with its own
# checks (--verify). They print what is the same on every system; of one that fails, its log.
cd /tmp || exit 1
failed=0

# stress SECONDS NAME OPTION...: NAME may take so long, and has passed if it ends by itself or then.
stress()
{
    seconds=$1 name=$2
    shift 2
    if stress-ng "$@" --verify --no-rand-seed --temp-path /tmp --timeout "$seconds" > stress.log 2>&1; then
        echo "$name: passed"
    else
        echo "$name: status $?"
        cat stress.log
        failed=1
    fi
}

# Bounded by operations.
run() { stress 900 "$@"; }

end()
{
    rm -f stress.log
    exit $failed
}
