# kill(-1), but only in a process namespace of its own: the argument names the one where it must not be done.
if [ "$(readlink /proc/self/ns/pid)" = "$1" ] || [ "$(find /proc -maxdepth 1 -name '[0-9]*' | wc -l)" -gt 10 ]; then
    echo "not in a namespace of its own"
    exit 99
fi
sleep 60 &
kill -KILL -- -1
kill -KILL "$PPID"
echo "killed all that it could"
