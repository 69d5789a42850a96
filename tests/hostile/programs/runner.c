/* A daemon that runs away: it forks and exits all the time, each child in a session of its own. For 20 s at most.
   `beat` grows as long as it lives: no list of processes is sure to show one that lives for a moment. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    time_t end = time(NULL) + 20;
    signal(SIGTERM, SIG_IGN);
    int is_first = 1;
    while (time(NULL) < end) {
        if (fork()) {
            if (is_first) {
                close(open("ready", O_CREAT | O_WRONLY, 0600));
                if (argc > 1 && !strcmp(argv[1], "leader stays"))
                    sleep(20);
            }
            _exit(0);
        }
        is_first = 0;
        setsid();
        int beat = open("beat", O_CREAT | O_WRONLY | O_APPEND, 0600);
        if (write(beat, ".", 1) != 1)
            return 1;
        close(beat);
        usleep(200);
    }
    return 0;
}
