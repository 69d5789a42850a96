/* Every process forks again and again: 2,048 of them in the end, for 15 s, in case nobody ends it. */
#include <unistd.h>

int main(void)
{
    for (int generation = 0; generation < 11; generation++) {
        fork();
        usleep(100000);
    }
    sleep(15);
    return 0;
}
