# Children that a hang-up would not end, and that the shell has let go of.
nohup sleep 60 > /dev/null 2>&1 &
sleep 61 &
disown -a
(trap '' HUP; exec -a quiet sleep 62) &
sleep 0.2
: > ready
wait
