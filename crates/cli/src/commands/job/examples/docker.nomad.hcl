# A job is what you want to run: one or more groups of tasks. Submit it with
# "job run", look at what it would change with "job plan".
job "example" {
  # "service" runs until it is stopped, "batch" until it is done, "system" once
  # on every client.
  type = "service"

  # Tasks of a group run together on one client. "count" says how many times.
  group "cache" {
    count = 1

    # Ports of the group. Without "static" the client picks a free one and maps
    # it to the port "to" inside of the task's network.
    network {
      port "db" {
        to = 6379
      }
    }

    # Other tasks find this one by the service's name.
    service {
      name     = "redis-cache"
      port     = "db"
      provider = "nomad"
    }

    # A task that is stopped leaves the service first, and ends this much later:
    # whoever was on the way to it still finds it.
    shutdown_delay = "3s"

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

    task "redis" {
      # The driver starts the task. "docker" runs an image in a container,
      # "raw_exec" a program of the client without walls around it.
      driver = "docker"

      config {
        image          = "redis:7"
        ports          = ["db"]
        auth_soft_fail = true
      }

      # MHz of processor and MB of memory. What does not fit stays pending
      # until there is room.
      resources {
        cpu    = 500
        memory = 256
      }
    }
  }
}
