# The store of the company: found by the other jobs under the name redis-svc.
# The same job without Docker: the program `ptc` is found on the agent's PATH.
job "pytechco-redis" {
  type = "service"

  group "ptc-redis" {
    count = 1

    network {
      port "redis" {}
    }

    service {
      name     = "redis-svc"
      port     = "redis"
      provider = "nomad"
    }

    # Between leaving the service and ending: whoever is on the way still finds it.
    shutdown_delay = "1s"

    task "redis-task" {
      driver = "raw_exec"

      config {
        command = "ptc"
        args    = ["store"]
      }
    }
  }
}
