#define _POSIX_C_SOURCE 200809L

#include "team.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct {
    rs_team *team;
    pthread_t thread;
    int32_t number;
} rs_member_thread;

struct rs_team {
    int32_t members;
    int32_t started; /* threads running, besides the caller's */
    rs_member_thread *member;
    pthread_mutex_t mutex;
    pthread_cond_t begin, end;
    uint64_t round;  /* number of the work under way */
    int32_t busy;    /* threads that have not finished it */
    int over;
    rs_job *job;
    void *what;
};

static void *work(void *argument)
{
    rs_member_thread *self = argument;
    rs_team *team = self->team;
    uint64_t done = 0;
    pthread_mutex_lock(&team->mutex);
    for (;;) {
        while (!team->over && team->round == done)
            pthread_cond_wait(&team->begin, &team->mutex);
        if (team->over)
            break;
        done = team->round;
        rs_job *job = team->job;
        void *what = team->what;
        pthread_mutex_unlock(&team->mutex);
        job(what, self->number);
        pthread_mutex_lock(&team->mutex);
        if (--team->busy == 0)
            pthread_cond_signal(&team->end);
    }
    pthread_mutex_unlock(&team->mutex);
    return NULL;
}

rs_team *rs_team_new(int32_t members)
{
    rs_team *team = calloc(1, sizeof *team);
    if (!team)
        return NULL;
    team->members = members;
    pthread_mutex_init(&team->mutex, NULL);
    pthread_cond_init(&team->begin, NULL);
    pthread_cond_init(&team->end, NULL);
    team->member = calloc((size_t)members, sizeof *team->member);
    for (int32_t k = 1; team->member && k < members; k++) {
        team->member[k].team = team;
        team->member[k].number = k;
        if (pthread_create(&team->member[k].thread, NULL, work, &team->member[k]))
            break;
        team->started++;
    }
    if (team->started == members - 1 && team->member)
        return team;
    rs_team_free(team);
    return NULL;
}

void rs_team_free(rs_team *team)
{
    if (!team)
        return;
    pthread_mutex_lock(&team->mutex);
    team->over = 1;
    pthread_cond_broadcast(&team->begin);
    pthread_mutex_unlock(&team->mutex);
    for (int32_t k = 1; k <= team->started; k++)
        pthread_join(team->member[k].thread, NULL);
    pthread_cond_destroy(&team->end);
    pthread_cond_destroy(&team->begin);
    pthread_mutex_destroy(&team->mutex);
    free(team->member);
    free(team);
}

void rs_team_run(rs_team *team, rs_job *job, void *what)
{
    if (team->members > 1) {
        pthread_mutex_lock(&team->mutex);
        team->job = job;
        team->what = what;
        team->busy = team->members - 1;
        team->round++;
        pthread_cond_broadcast(&team->begin);
        pthread_mutex_unlock(&team->mutex);
    }
    job(what, 0);
    if (team->members > 1) {
        pthread_mutex_lock(&team->mutex);
        while (team->busy > 0)
            pthread_cond_wait(&team->end, &team->mutex);
        pthread_mutex_unlock(&team->mutex);
    }
}
