# A job is what you want to run: one or more groups of tasks. Submit it with
# "job run", look at what it would change with "job plan".
#
# No client here has Docker, so this one runs a program as it is.
job "example" {
  # "service" runs until it is stopped, "batch" until it is done, "system" once
  # on every client.
  type = "service"

  # Tasks of a group run together on one client. "count" says how many times.
  group "clock" {
    count = 1

    # A task that fails is started again on its client, this often within the
    # interval, before it is placed anew.
    restart {
      attempts = 2
      interval = "30m"
      delay    = "15s"
      mode     = "fail"
    }

    # How a new version is rolled out: one allocation after the other, each of
    # them healthy for a while before the next.
    update {
      max_parallel     = 1
      min_healthy_time = "10s"
      healthy_deadline = "3m"
      auto_revert      = false
    }

    task "tell" {
      # The driver starts the task. "raw_exec" runs a program of the client
      # without walls around it, "docker" an image in a container.
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["local/tell.sh"]
      }

      # A file that is written before the task starts. "job status example"
      # names the allocation; "alloc logs -f ALLOCATION" shows what it says.
      template {
        destination = "local/tell.sh"
        data        = <<EOH
while :; do
  echo "$NOMAD_TASK_NAME on $(hostname): $(date)"
  sleep 5
done
EOH
      }

      # MHz of processor and MB of memory. What does not fit stays pending
      # until there is room.
      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
