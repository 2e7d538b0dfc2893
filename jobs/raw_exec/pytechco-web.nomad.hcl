# The company's page, on port 5000 of whichever client runs it.
# The same job without Docker: the program `ptc` is found on the agent's PATH.
job "pytechco-web" {
  type = "service"

  group "ptc-web" {
    count = 1

    network {
      port "web" {
        static = 5000
      }
    }

    service {
      name     = "ptc-web-svc"
      port     = "web"
      provider = "nomad"
    }

    # Between leaving the service and ending: whoever is on the way still finds it.
    shutdown_delay = "1s"

    task "ptc-web-task" {
      driver = "raw_exec"

      template {
        data        = <<EOH
{{ range nomadService "redis-svc" }}
REDIS_HOST={{ .Address }}
REDIS_PORT={{ .Port }}
{{ end }}
EOH
        destination = "local/env.txt"
        env         = true
      }

      config {
        command = "ptc"
        args    = ["web"]
      }
    }
  }
}
