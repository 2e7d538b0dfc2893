//! The texts of what can be done to jobs, allocations, clients and servers: apart from the others, so that the first page need not carry them.

use super::t;
use crate::prefs::Lang;

/// The texts of the page's language.
pub fn d() -> &'static Doing {
    Doing::of(t().lang)
}

catalogue! {
    /// Questions, and what is said when it is done. `{0}`, `{1}` stand for values, see [`super::fill`].
    Doing
    make_leader_x: "Have {0} lead?", "让 {0} 成为领导者？";
    make_leader_text: "Nothing is refused.", "不会拒绝请求。";
    leads_now_x: "{0} leads", "{0} 现在是领导者";
    remove_peer_x: "Remove {0}?", "移除 {0}？";
    remove_peer_text: "Stop its agent first.", "请先停止其代理。";
    removed_peer_x: "{0} removed", "{0} 已移除";
    restore_x: "Restore the state?", "恢复状态？";
    restore_text: "All that the region has is replaced by the file.", "该地域的一切都会被文件替换。";
    restore_verb: "Replace everything", "全部替换";
    restored: "The state was restored", "状态已恢复";
    stop_x: "Stop {0}?", "停止 {0}？";
    stop_text: "{0} running allocations are stopped.", "将停止 {0} 个运行中的分配。";
    stop_one_text: "{0} running allocation is stopped.", "将停止 {0} 个运行中的分配。";
    stop_verb: "Stop {0}", "停止 {0}";
    stopping_x: "{0} is being stopped", "正在停止 {0}";
    start_x: "Start {0}?", "启动 {0}？";
    start_text: "The job runs again as it was.", "作业将按原样再次运行。";
    start_verb: "Start {0}", "启动 {0}";
    starting_x: "{0} is being started", "正在启动 {0}";
    launch_x_now: "Launch {0} now?", "立即启动 {0}？";
    launch_text: "One child is launched now; the schedule stays as it is.", "现在启动一个子作业；排程保持不变。";
    launched_x: "{0} was launched", "已启动 {0}";
    revert_to: "Revert to version {0}?", "回退到版本 {0}？";
    revert_text: "{0} runs again as in version {1}, as a new version.", "{0} 将按版本 {1} 再次运行，并成为新版本。";
    revert_verb: "Revert to version {0}", "回退到版本 {0}";
    reverted: "Reverted to version {0}", "已回退到版本 {0}";
    scale_x: "Run {0} with count {1}?", "将 {0} 的数量设为 {1}？";
    scale_text: "The job gets a new version with this count.", "作业将以此数量生成新版本。";
    scale_verb: "Run {0}", "设为 {0}";
    scaled_x: "{0} runs with count {1}", "{0} 的数量已设为 {1}";
    promote_title: "Promote the canaries?", "提升金丝雀？";
    promote_text: "The new version replaces the older one.", "新版本将替换旧版本。";
    fail_title: "Fail the deployment?", "将部署判为失败？";
    fail_text: "The roll-out ends; the job goes back to its last stable version where it asks for that.", "推出将终止；若作业要求，会回到上一个稳定版本。";
    fail_verb: "Fail the deployment", "判为失败";
    deployment_failed: "The deployment was failed", "部署已判为失败";
    pause_title: "Pause the deployment?", "暂停部署？";
    pause_text: "Nothing more is placed until it is resumed.", "恢复之前不再放置。";
    resume_title: "Resume the deployment?", "恢复部署？";
    resume_text: "The roll-out goes on.", "推出将继续。";
    stop_alloc_text: "The allocation is stopped; its job places another.", "将停止此分配；作业会放置另一个。";
    restart_x: "Restart {0}?", "重启 {0}？";
    restart_text: "Its tasks end and start again in the same place.", "任务将结束并在原处重新启动。";
    restart_verb: "Restart {0}", "重启 {0}";
    restarting_x: "{0} is being restarted", "正在重启 {0}";
    drain_x: "Drain {0}?", "排空 {0}？";
    drain_text: "{0} allocations leave this client.", "{0} 个分配将离开此客户端。";
    drain_verb: "Drain {0}", "排空 {0}";
    draining_x: "{0} is being drained", "正在排空 {0}";
    stop_drain_x: "Stop draining {0}?", "停止排空 {0}？";
    stop_drain_text: "The client takes allocations again.", "客户端将重新接受分配。";
    make_eligible: "Make eligible", "恢复调度";
    make_eligible_x: "Make {0} eligible?", "恢复对 {0} 的调度？";
    eligible_text: "The client takes new allocations.", "客户端将接受新的分配。";
    make_ineligible: "Make ineligible", "暂停调度";
    make_ineligible_x: "Make {0} ineligible?", "暂停对 {0} 的调度？";
    ineligible_text: "The client keeps what runs and takes nothing new.", "客户端保留运行中的分配，不再接受新的分配。";
    n_jobs_l: "{0} jobs", "{0} 个作业";
    one_job_l: "{0} job", "{0} 个作业";
}
