# Someone comes to work every three seconds.
job "pytechco-employee" {
  type = "batch"

  periodic {
    // Seven fields: the first one counts seconds.
    crons            = ["0/3 * * * * * *"]
    prohibit_overlap = false
  }

  group "ptc-employee" {
    count = 1

    restart {
      attempts = 2
      delay    = "15s"
      interval = "1m"
      mode     = "fail"
    }

    task "ptc-employee-task" {
      driver = "docker"

      template {
        data        = <<EOH
{{ range nomadService "redis-svc" }}
REDIS_HOST={{ .Address }}
REDIS_PORT={{ .Port }}
{{ end }}
PTC_EMPLOYEE_ID={{ env "NOMAD_SHORT_ALLOC_ID" }}
EOH
        destination = "local/env.txt"
        env         = true
      }

      config {
        image = "tarpan.example/ptc-employee:1.0"

        // To send out sales engineers instead, take the comment marks away:
        // args = ["--employee-type", "sales_engineer"]
      }
    }
  }
}
