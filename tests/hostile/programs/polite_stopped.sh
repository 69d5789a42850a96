# Stopped, and yet it must be able to tidy up: SIGCONT has to come too.
trap ': > cleaned; exit 0' TERM
: > ready
kill -STOP $$
sleep 60 &
wait
