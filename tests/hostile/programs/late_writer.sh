# Exits while a child in another session holds the pipe and goes on writing.
setsid bash -c 'trap "" TERM; for i in $(seq 600); do echo late; sleep 0.1; done' &
echo early
