# Someone comes to work every three seconds.
# The same job without Docker: the program `ptc` is found on the agent's PATH.
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
      driver = "raw_exec"

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
        command = "ptc"
        args    = ["employee"]

        // To send out sales engineers instead, put this line in its place:
        // args = ["employee", "--employee-type", "sales_engineer"]
      }
    }
  }
}
