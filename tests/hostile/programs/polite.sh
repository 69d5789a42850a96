# Tidies up when it is asked to end; its child in a session of its own does too.
polite='trap "sleep 0.4; : > cleaned-$0; exit 0" TERM; : > up-$0; for i in $(seq 600); do sleep 0.1; done'
setsid bash -c "$polite" child &
until [ -e up-child ]; do sleep 0.02; done
: > ready
exec bash -c "$polite" leader
