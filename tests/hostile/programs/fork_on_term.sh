# Answers SIGTERM with another child in a session of its own, each time.
trap 'setsid sleep 60 & setsid -f sleep 60' TERM
: > ready
for _ in $(seq 600); do sleep 0.1; done
