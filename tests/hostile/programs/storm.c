/* storm N [deaf]: N children at once, in sessions of their own; `deaf` ones ignore SIGTERM. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc > 2)
        signal(SIGTERM, SIG_IGN);
    for (int i = 0; i < atoi(argv[1]); i++) {
        if (fork() == 0) {
            setsid();
            sleep(60);
            _exit(0);
        }
    }
    close(open("ready", O_CREAT | O_WRONLY, 0600));
    sleep(60);
}
