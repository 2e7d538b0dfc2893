//! The texts of a plan, as the page of a new job shows it: apart from the others, so that the first page need not carry them.

use super::t;
use crate::prefs::Lang;

/// The texts of the page's language.
pub fn p() -> &'static Plan {
    Plan::of(t().lang)
}

catalogue! {
    /// Texts of a plan. `{0}`, `{1}` stand for values, see [`super::fill`].
    Plan
    as_you_type: "as you type", "随输随算";
    plan_appears_here: "What a run would change appears here as soon as the text is a job.", "文本成为有效作业后，这里会显示运行将带来的变化。";
    where_it_would_go: "Where it would go", "将放置到";
    memory_after: "Memory after", "放置后内存";
    memory_before_after: "memory {0} % before, {1} % after", "内存：之前 {0} %，之后 {1} %";
    score: "Score", "评分";
    and_n_more_clients: "and {0} more clients", "以及另外 {0} 个客户端";
    and_one_more_client: "and {0} more client", "以及另外 {0} 个客户端";
    added_by_plan: "added by this plan", "本计划新增";
    begin_with: "Begin with a template", "从模板开始";
    begin_with_text: "The four jobs of a small company, on Docker or as plain processes, and two larger ones. Or paste, open or drop a file.", "一家小公司的四个作业（Docker 或普通进程），以及两个更大的作业。也可以粘贴、打开或拖入文件。";
    plan_is_old: "This is the plan of the text before its last errors.", "这是出错之前文本的计划。";
    canaries_first: "canaries first", "个金丝雀先行";
    added: "added", "新增";
    replaced: "replaced", "替换";
    changed_in_place: "changed in place", "原地更改";
    moved: "moved", "迁移";
    stopped_l: "stopped", "停止";
    preempted: "preempted", "被抢占";
    unchanged: "unchanged", "不变";
    cant_be_placed: "can't be placed", "无法放置";
    next_launch: "Next launch", "下次启动";
    new_job: "A new job", "新作业";
    changes: "Changes", "变更";
}
